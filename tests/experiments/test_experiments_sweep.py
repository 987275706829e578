import contextlib
import json
from dataclasses import replace

import pytest
from experiment_cases import Here, assert_same_table, small
from filelock import FileLock
from pandas.testing import assert_frame_equal

from unsep_lib.__main__ import main
from unsep_lib.experiments import Condition, SolverChoice, plan, read_table, run_sweep
from unsep_lib.experiments.rows import PlannedSource, PriorFile, Row

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
    assert len(lines) == LINES
    assert_frame_equal(read_table(out / "table.csv"), lines, check_exact=True)
    record = json.loads((out / "rows" / f"{lines.key[0]}.json").read_text())
    assert [source["si_sdr"] for source in record["sources"]] == lines.si_sdr[:2].tolist()


def test_a_finished_sweep_computes_nothing_again(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    lines = run_sweep(experiment, out, Here())
    before = contents(out)
    assert_frame_equal(run_sweep(experiment, out, Nothing()), lines, check_exact=True)
    assert contents(out) == before


def test_a_changed_experiment_computes_what_is_new_and_tables_what_it_asks_for(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    run_sweep(experiment, out, Here())
    executor = Here()
    more = replace(experiment, seeds=(1, 2), conditions=(Condition("renamed"),))
    lines = run_sweep(more, out, executor)
    assert {(row.solver, row.seed) for row in executor.rows} == {("projection", 2)}
    assert len(executor.rows) == 2
    assert set(lines.condition) == {"renamed"}
    assert set(lines.seed[lines.solver == "projection"]) == {1, 2}


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
    assert set(read_table(out / "table.csv").solver) == {"projection"}
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


def test_progress_counts_every_row_and_begins_with_those_of_earlier_runs(home, tmp_path):
    experiment, out, seen = small(tmp_path), tmp_path / "out", []
    run_sweep(replace(experiment, seeds=(0,)), out, Here())
    run_sweep(experiment, out, Here(), lambda done, total: seen.append((done, total)))
    assert seen == [(4, ROWS), (5, ROWS), (6, ROWS)]


def test_the_bar_shows_tqdms_own_estimate_of_what_is_left(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("unsep_lib.experiments.process_executor", lambda workers: contextlib.nullcontext(Here()))
    small(tmp_path)
    config = tmp_path / "own.toml"
    config.write_text('mixtures = "mixtures"\nseeds = [0, 1]\nsolvers = [{ name = "projection", steps = [1] }]\n')
    assert main(["experiment", str(config), "--out", str(tmp_path / "out")]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert "4/4" in last and "row/s" in last and "<00:00" in last


class Job:
    """What submitit's jobs have: `done`, `result` and `cancel`, but no future's insides."""

    def __init__(self, function, row):
        self.function, self.row, self.cancelled = function, row, False

    def done(self):
        return True

    def result(self):
        return self.function(self.row)

    def cancel(self):
        self.cancelled = True


class Cluster:
    """An executor of such jobs."""

    def __init__(self):
        self.jobs = []

    def submit(self, function, row):
        self.jobs.append(Job(function, row))
        return self.jobs[-1]


def test_jobs_that_are_no_futures_of_concurrent_give_the_same_table(home, tmp_path):
    experiment = small(tmp_path)
    expected = run_sweep(experiment, tmp_path / "here", Here())
    assert_same_table(run_sweep(experiment, tmp_path / "there", Cluster()), expected)


def test_a_sweep_that_is_interrupted_gives_up_what_it_submitted_and_goes_on_later(home, tmp_path):
    experiment, cluster = small(tmp_path), Cluster()

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(experiment, tmp_path / "out", cluster, interrupt)
    assert [job.cancelled for job in cluster.jobs] == [True] * ROWS
    executor = Here()
    assert len(run_sweep(experiment, tmp_path / "out", executor)) == LINES
    assert len(executor.rows) == ROWS - 2


def test_rows_written_before_the_renaming_are_not_computed_again(home, tmp_path):
    experiment, out = small(tmp_path), tmp_path / "out"
    expected = run_sweep(experiment, out, Here())
    for file in (out / "rows").glob("*.json"):
        file.write_text(file.read_text().replace('"spec":', '"told":'))
    assert_frame_equal(run_sweep(experiment, out, Nothing()), expected)


def test_the_keys_of_rows_are_those_of_before_the_renaming(home):
    row = Row(
        mixture="m", task="t", condition="c", folder="f", digest="d", seconds=0.0, level_difference=None,
        sources=(PlannedSource("speech", 0), PlannedSource("sound:Cello", None)), solver="projection", device="cpu",
        steps=4, seed=1, prior_files=(PriorFile("speech", "p", "s"),),
    )  # fmt: skip
    assert row.key == "e5c9b78ff25460edc8b4"


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
