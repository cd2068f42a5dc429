import numpy as np
import pytest

from oneglance.models.engines import OnnxEngine
from oneglance.models.metadata import Head
from oneglance.streams.errors import ModelError, UsageError

ROWS = np.array([[[0, 0, 8, 8, 0.9, 1]]], np.float32)


def test_a_model_of_ours_runs_and_says_how_long_it_took(make_model):
    engine = OnnxEngine(make_model(ROWS), threads=1)
    output, seconds = engine.run(np.zeros((1, 3, 32, 64), np.float32))
    assert output.tolist() == ROWS.tolist()
    assert seconds > 0
    assert engine.metadata.size == (64, 32)


def test_spinning_is_off_and_threads_are_what_was_asked_for(make_model):
    engine = OnnxEngine(make_model(ROWS), threads=2)
    options = engine._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_file_that_is_not_onnx_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "notes.onnx"
    file.write_text("shopping list")
    with pytest.raises(ModelError, match=r"notes\.onnx is not an ONNX model") as error:
        OnnxEngine(file)
    assert "\n" not in str(error.value)


def test_an_empty_file_is_refused(tmp_path):
    file = tmp_path / "empty.onnx"
    file.touch()
    with pytest.raises(ModelError, match=r"empty\.onnx"):
        OnnxEngine(file)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is a folder"):
        OnnxEngine(tmp_path)


def test_an_onnx_model_without_our_metadata_is_refused(make_model):
    with pytest.raises(ModelError, match="not one of ours"):
        OnnxEngine(make_model(ROWS, metadata=False))


def test_a_model_with_external_data_is_refused(make_model, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(make_model(np.zeros((1, 300, 6), np.float32)))
    file = tmp_path / "outside.onnx"
    onnx.save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=1024)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(ModelError, match="external data"):
        OnnxEngine(file)


def test_an_output_that_is_not_the_layout_named_is_refused(make_model):
    with pytest.raises(ModelError, match="are not the one_to_many layout"):
        OnnxEngine(make_model(ROWS, head=Head.ONE_TO_MANY))


def test_metadata_that_is_not_json_is_refused(make_model, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(make_model(ROWS, metadata=False))
    model.metadata_props.add(key="oneglance", value="{")
    onnx.save(model, tmp_path / "torn.onnx")
    with pytest.raises(ModelError, match="broken 'oneglance' metadata"):
        OnnxEngine(tmp_path / "torn.onnx")


def test_no_thread_at_all_is_refused(make_model):
    with pytest.raises(UsageError, match="at least 1"):
        OnnxEngine(make_model(ROWS), threads=0)
