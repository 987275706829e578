import json
from dataclasses import replace

import pytest
from experiment_cases import Here, assert_same_table, small
from filelock import FileLock

from unsep_lib.commands.main import main
from unsep_lib.experiments import Condition, SolverChoice, plan, read_table, run_sweep
from unsep_lib.experiments.sweep import Pace

ROWS = 2 * 2 + 2  # two mixtures with two seeds, and a baseline that needs none
LINES = 2 * ROWS


class Nothing:
    """An executor that must not be asked for anything."""

    def submit(self, function, row):
        raise AssertionError(f"{row} was submitted")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_writes_a_file_a_row_and_a_table_a_line_a_source(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    lines = run_sweep(experiment, out, Here())
    assert {path.stem for path in (out / "rows").glob("*.json")} == {row.key for row in plan(experiment)}
    assert (len(lines), read_table(out / "table.csv")) == (LINES, lines)
    record = json.loads((out / "rows" / f"{lines[0].key}.json").read_text())
    assert [source["si_sdr"] for source in record["sources"]] == [line.si_sdr for line in lines[:2]]


def test_a_finished_sweep_computes_nothing_again(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    lines = run_sweep(experiment, out, Here())
    before = contents(out)
    assert run_sweep(experiment, out, Nothing()) == lines
    assert contents(out) == before


def test_a_changed_experiment_computes_what_is_new_and_tables_what_it_asks_for(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    run_sweep(experiment, out, Here())
    executor = Here()
    more = replace(experiment, seeds=(1, 2), conditions=(Condition("renamed"),))
    lines = run_sweep(more, out, executor)
    assert {(row.solver, row.seed) for row in executor.rows} == {("projection", 2)}
    assert len(executor.rows) == 2
    assert {line.condition for line in lines} == {"renamed"}
    assert {line.seed for line in lines if line.solver == "projection"} == {1, 2}


def test_conditions_of_one_content_share_a_row_and_both_are_in_the_table(home, tmp_path):
    executor = Here()
    conditions = (Condition("one"), Condition("other"))
    lines = run_sweep(small(tmp_path, conditions=conditions), tmp_path / "out", executor)
    assert (len(executor.rows), len(lines)) == (ROWS, 2 * LINES)


def test_rows_that_fail_are_told_and_the_others_kept(home, tmp_path):
    solvers = (SolverChoice("hybrid", (201,)), SolverChoice("projection", (1,)))
    experiment, out = small(tmp_path, solvers=solvers), tmp_path / "out"
    with pytest.raises(ValueError, match=r"4 of 8 rows failed, the first of \S+ with hybrid .*1 to 200 steps"):
        run_sweep(experiment, out, Here())
    assert {line.solver for line in read_table(out / "table.csv")} == {"projection"}
    assert len(list((out / "rows").iterdir())) == 4


def test_what_a_killed_run_left_half_written_is_removed(home, tmp_path):
    out = tmp_path / "out"
    (out / "rows").mkdir(parents=True)
    (out / "rows" / ".0123-x.partial.json").write_text('{"half')
    run_sweep(small(tmp_path), out, Here())
    assert {path.suffix for path in (out / "rows").iterdir()} == {".json"}
    assert len(list((out / "rows").iterdir())) == ROWS


def test_a_damaged_row_is_named(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    file = out / "rows" / f"{plan(experiment)[0].key}.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(ValueError, match=f"{file.name}: not a row of a sweep"):
        run_sweep(experiment, out, Nothing())


def test_a_second_run_in_a_folder_says_so_and_stops(home, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    experiment = small(tmp_path)
    with FileLock(out / ".lock"), pytest.raises(ValueError, match="another run is writing to this folder"):
        run_sweep(experiment, out, Nothing())
    assert len(run_sweep(experiment, out, Here())) == LINES


def test_a_folder_that_cannot_be_made_is_refused(home, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="cannot write to"):
        run_sweep(small(tmp_path), tmp_path / "out", Nothing())


def test_progress_counts_every_row_and_ends_with_nothing_left(home, tmp_path):
    experiment, out, seen = small(tmp_path), tmp_path / "out", []
    run_sweep(replace(experiment, seeds=(0,)), out, Here())
    run_sweep(experiment, out, Here(), seen.append)
    assert [(progress.done, progress.total) for progress in seen] == [(4, ROWS), (5, ROWS), (6, ROWS)]
    assert seen[0].remaining is None
    assert seen[1].remaining > 0
    assert seen[-1].remaining == 0


def test_the_rest_takes_what_like_rows_took_divided_by_what_runs_at_once(home, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    cheap, *_, dear = plan(small(tmp_path, solvers=(SolverChoice("projection", (1,)), SolverChoice("hybrid", (9,)))))
    pace = Pace()
    assert pace.remaining([cheap]) is None
    pace.note(dear, 100.0, before=True)
    clock[0] = 5.0
    pace.note(cheap, 4.0)
    pace.note(cheap, 6.0)
    assert pace.remaining([cheap, cheap, dear]) == pytest.approx((5 + 5 + 100) / 2)
    unknown = replace(dear, steps=7)
    assert pace.remaining([unknown]) == pytest.approx((5 + 100) / 2 / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "unknown experiment 'nope'"),
        (["smoke", "--workers", "0"], "at least 1 worker, got 0"),
        (["smoke", "--dask", "tcp://127.0.0.1:9"], "no dask scheduler answers at 'tcp://127.0.0.1:9'"),
    ],
)
def test_bad_commands_are_one_sentence_and_write_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("unsep_lib.experiments.sweep.CONNECT_SECONDS", 0.1)
    assert main(["experiment", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("unsep: error: ")
    assert message in error.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_tables_equal_but_for_timings_are_told_from_others(home, tmp_path):
    experiment = small(tmp_path)
    lines = run_sweep(experiment, tmp_path / "one", Here())
    assert_same_table(lines, run_sweep(experiment, tmp_path / "two", Here()))
    with pytest.raises(AssertionError):
        assert_same_table(lines, run_sweep(replace(experiment, seeds=(0, 2)), tmp_path / "three", Here()))
