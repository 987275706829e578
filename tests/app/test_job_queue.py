import subprocess
import sys

from app_turns import PATIENCE, Visitor, wait_until


def test_turns_come_in_the_order_of_asking_and_one_at_a_time(tmp_path):
    log = []
    first = Visitor(tmp_path, "first", log)
    wait_until(lambda: log == ["first"])
    second = Visitor(tmp_path, "second", log)
    wait_until(lambda: second.waits == [1])
    third = Visitor(tmp_path, "third", log)
    wait_until(lambda: third.waits == [2])
    for visitor in (first, second, third):
        visitor.leave.set()
        visitor.join(PATIENCE)
    assert log == ["first", "first left", "second", "second left", "third", "third left"]
    assert list(tmp_path.glob("*.ticket")) == []


def test_who_cancels_leaves_the_queue(tmp_path):
    log = []
    first, second, third = Visitor(tmp_path, "first", log), None, None
    wait_until(lambda: log == ["first"])
    second = Visitor(tmp_path, "second", log)
    wait_until(lambda: second.waits)
    third = Visitor(tmp_path, "third", log)
    wait_until(lambda: third.waits == [2])
    second.cancelled.set()
    second.join(PATIENCE)
    wait_until(lambda: third.waits == [2, 1])
    first.leave.set()
    wait_until(lambda: log[-1] == "third")
    third.leave.set()
    assert "second" not in log


def test_a_process_that_is_killed_gives_its_turn_away(tmp_path):
    code = (
        "import pathlib, sys, threading, time; from unsep_lib.app.jobs import turn\n"
        "with turn(pathlib.Path(sys.argv[1]), threading.Event(), print): print('mine', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "mine\n"
        log = []
        visitor = Visitor(tmp_path, "next", log)
        wait_until(lambda: visitor.waits == [1])
        process.kill()
    wait_until(lambda: log == ["next"])
    visitor.leave.set()
    visitor.join(PATIENCE)
    assert list(tmp_path.glob("*.ticket")) == []
