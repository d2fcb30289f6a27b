"""Reading in processes of their own: the same answers, and what happens when one ends."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import onnx
import psutil
import pytest

from crnnkit.errors import CheckpointError, ConfigError
from crnnkit.model.constraints import Constraint
from crnnkit.preprocessing.images import encode_image
from crnnkit.serving import monitoring
from crnnkit.serving import processes as processes_module
from crnnkit.serving.batching import BusyError
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import ServedModel
from crnnkit.serving.processes import (
    MOST_TOGETHER,
    SMALL,
    ReaderDiedError,
    ReaderGoneError,
    ReaderProcesses,
    _Asked,
    _Lane,
    _Worker,
)
from crnnkit.serving.server import create_app
from crnnkit.serving.tasks import PictureError, Task

TEXTS = ["北京 1", "2 市", "AB 34567", "0", "9988 77", "北 A", "京京 5", "B1 B2 B3 B4"]


@pytest.fixture(scope="module")
def processes() -> Iterator[ReaderProcesses]:
    """Two of them."""
    found = ReaderProcesses(2, threads=4)
    yield found
    found.close()


@pytest.fixture
def pictures(make_line: Callable) -> list[bytes]:
    """Lines that are read differently."""
    return [encode_image(make_line(text)) for text in TEXTS]


def ids_of(processes: ReaderProcesses) -> list[int]:
    return [process._process.pid for process in processes._processes]


def test_every_thread_gets_the_reading_of_its_own_pictures(
    processes, onnx_path, recognizer, pictures
):
    reader = processes.load(onnx_path)
    assert (reader.name, reader.vocab) == (onnx_path.name, recognizer.vocab)
    expected = [recognizer.read_page(picture) for picture in pictures]
    assert len({str([line.text for line in page]) for page in expected}) > 4

    def read(number: int) -> None:
        which = [number % len(pictures), (number + 3) % len(pictures)]
        found = reader.read(Task(tuple(pictures[i] for i in which)))
        for page, i in zip(found, which, strict=True):
            assert [line.text for line in page] == [line.text for line in expected[i]]
            for line, wanted in zip(page, expected[i], strict=True):
                assert line.confidence == pytest.approx(wanted.confidence, abs=1e-4)
                assert (line.box == wanted.box).all()
                assert line.edges == wanted.edges

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(read, range(64)))


def test_what_may_come_out_is_kept_to(processes, onnx_path, recognizer, pictures):
    reader = processes.load(onnx_path)
    constraint = Constraint.pattern(r"\d+", recognizer.vocab)
    ((line,),) = reader.read(Task((pictures[0],), pattern=r"\d+"))
    assert line.text == recognizer.read_page(pictures[0], constraint)[0].text
    assert line.text.isdigit()


def test_errors_come_back_as_they_were(processes, onnx_path, pictures):
    reader = processes.load(onnx_path)
    with pytest.raises(PictureError, match="not a picture") as found:
        reader.read(Task((pictures[0], b"no picture")))
    assert found.value.index == 1
    with pytest.raises(ConfigError, match="pattern"):
        reader.read(Task((pictures[0],), pattern="(broken"))


def test_a_fault_of_ours_is_told_with_its_place(processes, onnx_path, pictures):
    reader = processes.load(onnx_path)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*patterns\.py"):
        reader.read(Task((pictures[0],), pattern=3))  # no text


def test_a_broken_file_is_refused_and_the_old_model_goes_on(
    processes, onnx_path, tmp_path, pictures
):
    path = tmp_path / "serving.onnx"
    path.write_bytes(onnx_path.read_bytes())
    model = ServedModel(path, processes.load)
    path.write_bytes(onnx_path.read_bytes()[:20_000])
    with pytest.raises(CheckpointError, match=r"serving\.onnx: no readable ONNX file"):
        model.reload()
    assert model.current.reader.read(Task((pictures[0],)))
    assert max(processes._models) == model.current.reader._key  # nothing of the broken one
    path.unlink()
    with pytest.raises(CheckpointError, match="no such model"):
        model.reload()


def test_only_models_in_use_are_held(processes, onnx_path, tmp_path, wait_until, pictures):
    path = tmp_path / "serving.onnx"
    path.write_bytes(onnx_path.read_bytes())
    model = ServedModel(path, processes.load)
    keys = [model.current.reader._key]
    dropped, first = [], processes._processes[0]
    ask = first.ask

    def watched(what: str, key: int, *more: object) -> object:
        if what == "drop":
            dropped.append(key)
        return ask(what, key, *more)

    first.ask = watched
    for number in range(3):
        network = onnx.load(onnx_path)
        network.doc_string = f"copy {number}"
        onnx.save(network, path)
        model.reload()
        keys.append(model.current.reader._key)
    *past, previous, present = keys
    wait_until(lambda: {*past} <= {*dropped})
    first.ask = ask
    assert not {previous, present} & {*dropped}
    assert processes._models.keys() & keys == {previous, present}
    assert model.current.reader.read(Task((pictures[0],)))
    assert model.previous.reader.read(Task((pictures[0],)))


def test_a_process_forgets_what_it_is_told_to(onnx_path, pictures):
    worker = _Worker()
    worker.load(7, onnx_path.read_bytes(), onnx_path)
    pages, batches = worker.read(7, 1, Task((pictures[0],)))
    assert len(pages) == 1
    assert batches == [1]
    assert worker.read(7, 1, Task((pictures[0],)))[1] == [1]  # each is told once
    worker.drop(7)
    worker.drop(7)  # which had failed to load, say
    assert not worker.models


def test_orders_to_stop_are_the_services_to_obey(processes, onnx_path, pictures):
    reader, before = processes.load(onnx_path), ids_of(processes)
    for process_id in before:
        os.kill(process_id, signal.SIGTERM)
        os.kill(process_id, signal.SIGINT)
    time.sleep(0.2)
    assert reader.read(Task((pictures[0],)))
    assert ids_of(processes) == before


def test_a_process_keeps_its_memory_small(monkeypatch):
    kept_small: list[bool] = []
    monkeypatch.setattr(processes_module.memory, "keep_small", lambda: kept_small.append(True))
    monkeypatch.setattr(processes_module.signal, "signal", lambda *_: None)
    processes_module._work([])
    assert kept_small == [True]


def test_a_process_may_use_as_many_cores_as_it_is_told(onnx_path, pictures):
    worker = _Worker()
    worker.load(7, onnx_path.read_bytes(), onnx_path)
    for cores, batches in [(1, [2]), (2, [1, 1])]:
        assert worker.read(7, cores, Task((pictures[0],) * 2))[1] == batches


def test_batches_are_counted_where_they_are_told(processes, onnx_path, pictures):
    def counted() -> float:
        return monitoring.REGISTRY.get_sample_value("crnnkit_batch_lines_sum")

    reader, before = processes.load(onnx_path), counted()
    reader.read(Task(tuple(pictures)))
    assert counted() == before + len(pictures)


def test_a_process_that_dies_is_replaced(processes, onnx_path, pictures, wait_until):
    reader = processes.load(onnx_path)
    before = ids_of(processes)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(ids_of(processes)) == 2 and before[0] not in ids_of(processes))
    with ThreadPoolExecutor(8) as pool:  # the new one, too, holds the model
        found = list(pool.map(reader.read, [Task((pictures[0],))] * 8))
    assert len({page[0].text for (page,) in found}) == 1


def test_what_it_had_at_hand_is_told_at_once(processes, onnx_path, pictures, wait_until):
    reader = processes.load(onnx_path)
    stopped = ids_of(processes)
    for process_id in stopped:
        os.kill(process_id, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, Task((pictures[0],)))
        wait_until(lambda: any(process.num_tasks for process in processes._processes))
        for process_id in stopped:
            os.kill(process_id, signal.SIGKILL)
        with pytest.raises(ReaderDiedError):
            waiting.result(20)
    wait_until(lambda: len(ids_of(processes)) == 2 and not {*stopped} & {*ids_of(processes)})
    assert reader.read(Task((pictures[0],)))


class CountingProcess:
    """Holds what it is asked, as if it never ended."""

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks, self.asked = num_tasks, []

    def read(self, asked: _Asked) -> list:
        self.asked.append(asked)
        self.num_tasks += 1
        return []


@pytest.fixture
def nobody() -> ReaderProcesses:
    """All have ended."""
    found = object.__new__(ReaderProcesses)
    found._lock, found._processes = threading.Lock(), []
    return found


def test_while_nobody_is_there_the_service_is_busy(nobody):
    with pytest.raises(BusyError):
        nobody.read(5, "task")


def test_what_a_dead_process_was_not_asked_another_one_does(nobody):
    gone, other = CountingProcess(0), CountingProcess(1)
    gone.read = lambda asked: (_ for _ in ()).throw(ReaderGoneError)
    nobody._processes = [gone, other]
    assert nobody.read(5, "task") == []
    assert nobody._processes == [other]


def test_who_has_least_to_do_is_asked_and_told_of_those_that_rest(nobody):
    nobody._processes = three = [CountingProcess(number) for number in (2, 1, 0)]
    for _ in range(3):
        nobody.read(5, "task")
    assert [len(each.asked) for each in three] == [0, 1, 2]
    assert {each for process in three for each in process.asked} == {(5, 1, "task")}
    three[0].num_tasks = three[1].num_tasks = 0
    nobody.read(5, "task")
    assert three[0].asked == [(5, 2, "task")]  # may use a core more: that of the second


class HeldProcess:
    """Says of every picture what it is, and holds its first tasks until told."""

    def __init__(self) -> None:
        self.asked: list[_Asked] = []
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def read_alone(self, asked: _Asked) -> list:
        self.asked.append(asked)
        self.has_begun.set()
        assert self.may_end.wait(20)
        if b"broken" in asked.task.pictures:
            raise PictureError("broken", asked.task.pictures.index(b"broken"))
        return [[picture] for picture in asked.task.pictures]


def read_while_held(process: HeldProcess, wait_until: Callable, waiting: list[_Asked]) -> list:
    """What comes of tasks that all wait while a first one is done: pages, or an error."""
    lane = _Lane(process)
    with ThreadPoolExecutor(len(waiting) + 1) as pool:
        first = pool.submit(lane.answer, _Asked(1, 1, Task((b"first",))))
        assert process.has_begun.wait(20)
        calls = []
        for number, asked in enumerate(waiting, start=1):  # in this order
            calls.append(pool.submit(lane.answer, asked))
            wait_until(lambda number=number: len(lane._waiting) == number)
        process.may_end.set()
        assert first.result(20) == [[b"first"]]
        return [call.exception(20) or call.result() for call in calls]


def test_small_tasks_that_wait_together_are_done_together(wait_until):
    waiting = [
        _Asked(1, 1, Task((b"a", b"b"))),
        _Asked(2, 1, Task((b"d",))),  # of another model
        _Asked(1, 1, Task((b"e",))),
        _Asked(1, 1, Task((b"f",) * MOST_TOGETHER)),  # too many
    ]
    process = HeldProcess()
    found = read_while_held(process, wait_until, waiting)
    assert found == [[[picture] for picture in asked.task.pictures] for asked in waiting]
    done = [asked.task.pictures for asked in process.asked]
    assert done[:2] == [(b"first",), (b"a", b"b", b"e")]
    assert sorted(map(len, done[2:])) == [1, MOST_TOGETHER]


def test_only_the_task_with_the_broken_picture_fails(wait_until):
    waiting = [_Asked(1, 1, Task(pictures)) for pictures in [(b"a",), (b"b", b"broken"), (b"c",)]]
    first, broken, last = read_while_held(HeldProcess(), wait_until, waiting)
    assert (first, last) == ([[b"a"]], [[b"c"]])
    assert isinstance(broken, PictureError)
    assert broken.index == 1


def test_large_tasks_wait_for_nobody(processes, onnx_path, pictures, monkeypatch):
    monkeypatch.setattr(_Lane, "answer", lambda *_: pytest.fail("waits with small ones"))
    reader = processes.load(onnx_path)
    many = (SMALL // len(pictures[0]) + 1) * (pictures[0],)
    assert len(reader.read(Task(many))) == len(many)
    assert len(reader.read(Task(many[:1], pattern=r"\d+"))) == 1  # what may take long, neither


@pytest.fixture
def leaves_no_process() -> Iterator[None]:
    """What is started meanwhile has ended."""
    before = reading_children()
    yield
    assert reading_children() <= before


def reading_children() -> set[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return {child for child in children if "spawn_main" in " ".join(child.cmdline())}


@pytest.mark.usefixtures("leaves_no_process")
def test_a_service_with_processes_answers_as_one_without(onnx_path, pictures):
    def asked(config: ServerConfig) -> list:
        app = create_app(onnx_path, config)
        try:
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(lambda picture: answer_of(app, picture), pictures * 2))
        finally:
            app.extensions["crnnkit"].close()

    assert asked(ServerConfig(processes=2)) == asked(ServerConfig())


def answer_of(app, picture: bytes) -> list[str]:
    answer = app.test_client().post(
        "/api/ocr", data={"image": [(io.BytesIO(picture), "a.png")], "chars": "1"}
    )
    return [line["text"] for line in answer.json["text"]]


@pytest.mark.usefixtures("leaves_no_process")
def test_a_process_that_hangs_is_killed_at_the_end(monkeypatch):
    monkeypatch.setattr(processes_module, "END_SECONDS", 0.1)
    hanging = ReaderProcesses(1, threads=1)
    (process_id,) = ids_of(hanging)
    os.kill(process_id, signal.SIGSTOP)
    hanging.close()


@pytest.mark.usefixtures("leaves_no_process")
def test_a_process_that_starts_too_late_is_ended_at_once():
    closed = ReaderProcesses(1, threads=1)
    closed.close()
    closed._start()  # as where one had died just before


@pytest.mark.usefixtures("leaves_no_process")
def test_a_model_that_cannot_be_served_leaves_no_process(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError):
        create_app(tmp_path / "no.onnx", ServerConfig(processes=2))


KILLED = """
import os, signal, sys
from crnnkit.serving.processes import ReaderProcesses
if __name__ == "__main__":
    processes = ReaderProcesses(2, 1)
    print(*(process._process.pid for process in processes._processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_they_end_when_the_service_is_killed(tmp_path, wait_until):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    ids = [int(word) for word in run.stdout.split()]
    assert len(ids) == 2
    wait_until(lambda: not any(map(psutil.pid_exists, ids)))
