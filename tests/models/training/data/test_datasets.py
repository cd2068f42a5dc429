from pathlib import Path

import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.errors import DataError

BOX = "0 0.5 0.5 0.2 0.2"


def meanings(file):
    dataset = read_dataset(file)
    return {
        dataset.names[number]: None if cls is None else cls.name
        for number, cls in dataset.classes.items()
    }


def complaint(file, text):
    """What reading ``file`` complains of, once ``text`` is written there."""
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(text)
    with pytest.raises(DataError) as caught:
        read_dataset(file)
    return str(caught.value).removeprefix(str(file))


def test_a_set_labels_the_tasks_that_its_names_serve_and_no_other(make_set):
    dataset = read_dataset(make_set(train={"a": BOX}, names=["bus", "car", "motorbike", "person"]))
    assert dataset.labelled_tasks == {Task.PEDESTRIAN, Task.CAR}
    assert dataset.ignored == ("motorbike",)
    assert dataset.tasks == {0: Task.CAR, 1: Task.CAR, 2: None, 3: Task.PEDESTRIAN}


def test_a_part_of_a_task_does_not_label_the_task(make_set):
    # COCO's: a street there may be full of signs that are no stop signs.
    dataset = read_dataset(make_set(train={"a": BOX}, names=["person", "stop sign"]))
    assert dataset.labelled_tasks == {Task.PEDESTRIAN}
    assert dataset.classes[1] is None
    assert dataset.left_out == {1}
    assert dataset.ignored == ()  # not background either: it is a sign


def test_a_part_of_a_task_labels_it_where_the_file_says_so(make_set):
    file = make_set(train={"a": BOX}, names=["person", "stop sign"], labels=["sign"])
    assert meanings(file) == {"person": None, "stop sign": "sign"}


def test_only_parts_of_tasks_ask_for_a_word(make_set):
    with pytest.raises(DataError, match=r"bus are only a part of a task.*say so with 'labels:'"):
        read_dataset(make_set(train={"a": BOX}, names=["bus"]))


def test_colours_of_lights_are_kept_apart(make_set):
    file = make_set(train={"a": BOX}, names=["green", "red", "yellow"])
    assert meanings(file) == {"green": "light_green", "red": "light_red", "yellow": "light_yellow"}


def test_classes_map_names_to_ours_and_leave_the_rest_as_they_say(make_set):
    file = make_set(
        train={"a": BOX}, names=["Speed_Limit", "car", "dog"], classes={"speed-limit": "sign"}
    )
    assert meanings(file) == {"Speed_Limit": "sign", "car": "car", "dog": None}


def test_an_absolute_path_lets_the_file_live_elsewhere(make_set, tmp_path):
    file = make_set(train={"a": BOX})
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(file.read_text().replace("path: .", f"path: {file.parent}"))
    (image,) = read_dataset(elsewhere).images("train")
    assert image == file.parent / "images" / "train" / "a.jpg"


def test_folders_are_looked_through_to_the_bottom_and_lists_are_read(make_set):
    file = make_set(train={"a": BOX, "b": BOX})
    town = file.parent / "images" / "train" / "aachen"
    town.mkdir()
    (file.parent / "images" / "train" / "b.jpg").rename(town / "b.jpg")
    assert [p.name for p in read_dataset(file).images("train")] == ["a.jpg", "b.jpg"]
    (file.parent / "chosen.txt").write_text("./images/train/aachen/b.jpg\n")
    file.write_text(file.read_text().replace("train: images/train", "train: chosen.txt"))
    assert read_dataset(file).images("train") == [town / "b.jpg"]


def test_roboflows_path_above_the_file_is_found_beside_it(make_set):
    file = make_set(train={"a": BOX}, names=["car"])
    file.write_text("names: [car]\ntrain: ../images/train\n")
    assert len(read_dataset(file).images("train")) == 1


def test_download_is_never_executed(make_set, tmp_path):
    trap = tmp_path / "executed"
    file = make_set(train={"a": BOX}, download=f"touch {trap}")
    read_dataset(file).images("train")
    assert not trap.exists()


def test_yaml_that_makes_objects_is_refused(tmp_path):
    trap = tmp_path / "executed"
    text = f"names: !!python/object/apply:os.system ['touch {trap}']\n"
    assert "is not YAML" in complaint(tmp_path / "data.yaml", text)
    assert not trap.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no data set file .*nowhere\.yaml"):
        read_dataset(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c\n", ":1 is not YAML: mapping values are not allowed here"),
        ("names: [car\ntrain: x\n", ":2 is not YAML: expected ',' or ']', but got ':'"),
        ("", " is not a data set file: it has no 'names:'"),
        ("train: x\n", " is not a data set file: it has no 'names:'"),
        ("names: [car]\n", " has neither 'train:' nor 'val:'"),
        (
            "train: x\nnames: 5\n",
            ":2: 'names:' must be a list of names or a map of number to name",
        ),
        (
            "train: x\nnames: [cat, dog]\n",
            (
                ":2: none of its classes (cat, dog) is one of ours; name at least one of "
                "pedestrian, car, sign, light, or map them with 'classes:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nlables: [car]\n",
            ":3: unknown key 'lables:'; did you mean 'labels:'?",
        ),
        (
            "train: x\nnames: [car]\nlabels: [cars]\n",
            (
                ":3: 'labels:' has an unknown task 'cars'; did you mean 'car'? (tasks: pedestrian, "
                "car, sign, light)"
            ),
        ),
        (
            "train: x\nnames: [car]\nlabels: [car, sign]\n",
            (
                ":3: 'labels:' says sign, but none of its classes serves it: leave it out, or, if "
                "no image shows one, add it to 'names:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nlabels: {car: yes}\n",
            ":3: 'labels:' must be a list of tasks (pedestrian, car, sign, light)",
        ),
        (
            "train: x\nnames: [car]\nclasses: bdd\n",
            (
                ":3: no mapping named 'bdd'; did you mean 'bdd100k'? (mappings: bdd100k, coco, "
                "kitti, cityscapes, udacity, gtsdb, lights)"
            ),
        ),
        (
            "train: x\nnames: [car]\nclasses: [car]\n",
            (
                ":3: 'classes:' must be a map of its names to ours, or one of bdd100k, coco, "
                "kitti, cityscapes, udacity, gtsdb, lights"
            ),
        ),
        (
            "train: x\nnames: [car]\nclasses: {auto: car}\n",
            ":3: 'classes:' maps auto, but 'names:' has no such class",
        ),
        (
            "train: x\nnames: [car, lamp]\nclasses: {lamp: light_blue}\n",
            (
                ":3: 'classes:' maps lamp to 'light_blue', which is no class of ours; did you mean "
                "'light_red'? (classes: pedestrian, car, sign, light, light_red, light_yellow, "
                "light_green, sign_prohibitory, sign_mandatory, sign_danger, sign_other, or null)"
            ),
        ),
        (
            "train: x\nnames: [car, truck]\nclasses: {truck: null}\n",
            (
                ":3: 'truck' is a car, but maps to none of our classes, so training would take it "
                "for background: map it to 'car', or leave car out of 'labels:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nannotations: a/b\n",
            ":3: 'annotations:' is the name of one folder, like labels",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_line(tmp_path, text, expected):
    assert complaint(tmp_path / "data.yaml", text) == expected


def test_a_split_that_is_not_there_is_told(make_set):
    dataset = read_dataset(make_set(train={"a": BOX}, val={}))
    with pytest.raises(DataError, match="no image in val"):
        dataset.images("val")
    (dataset.file.parent / "images" / "val").rmdir()
    with pytest.raises(DataError, match=r"val folder .* does not exist"):
        dataset.images("val")
    alone = read_dataset(make_set("alone", train={"a": BOX}))
    with pytest.raises(DataError, match="has no 'val:' entry"):
        alone.images("val")


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("gtsdb", {"pedestrian", "car", "sign", "light"}),
        ("highway", {"pedestrian", "car"}),
        ("coad", {"pedestrian", "car"}),
        ("lights", {"light"}),
    ],
)
def test_the_shared_sets_are_understood_as_they_lie(shared, name, tasks):
    assert read_dataset(shared / "data" / name / "data.yaml").labelled_tasks == tasks
