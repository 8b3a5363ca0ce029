"""onnxruntime-genai obeys the genai_config.json of a bundle, which is checked before: it can load libraries."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graft.errors import InputError
from graft.export.onnx.genai import GenaiModel
from graft.export.onnx.genai_check import check_genai_config

BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundle-0.1"
LIBRARY = """
#include <stdio.h>
__attribute__((constructor)) static void loaded(void) { fclose(fopen("%s", "w")); }
void *RegisterCustomOps(void *options, const void *api) { return 0; }
"""


@pytest.fixture
def bundle(tmp_path):
    return Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))


def edited(bundle, **sections):
    """Put ``sections`` into the model and its decoder: ``decoder={...}`` into the decoder, others beside it."""
    file = bundle / "genai_config.json"
    document = json.loads(file.read_text("utf-8"))
    document["model"]["decoder"].update(sections.pop("decoder", {}))
    document["model"].update(sections)
    file.write_text(json.dumps(document), "utf-8")


def test_a_library_that_a_bundle_names_is_not_loaded(bundle, tmp_path):
    genai = pytest.importorskip("onnxruntime_genai")
    if shutil.which("gcc") is None or sys.platform != "linux":
        pytest.skip("no gcc here")
    loaded = tmp_path / "loaded"
    (tmp_path / "ops.c").write_text(LIBRARY % loaded, "utf-8")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", bundle / "ops.so", tmp_path / "ops.c"], check=True)
    edited(bundle, decoder={"session_options": {"custom_ops_library": "ops.so"}})
    with pytest.raises(InputError, match=r"'model\.decoder\.session_options\.custom_ops_library' is 'ops\.so', which"):
        GenaiModel(bundle)
    assert not loaded.exists()
    genai.Model(str(bundle))
    assert loaded.exists()  # without the check it is loaded


GRAPH = {"filename": "model.onnx"}
REFUSED = {
    "custom_ops_library": {"decoder": {"session_options": {"custom_ops_library": "ops"}}},
    "enable_profiling": {"decoder": {"session_options": {"enable_profiling": "/tmp/trace"}}},
    "model_external_initializers": {
        "decoder": {"session_options": {"session.model_external_initializers_file_folder_path": "/etc"}}
    },
    "log_id": {"decoder": {"session_options": {"log_id": "../x.so"}}},
    "intra_op_num_threads": {"decoder": {"session_options": {"intra_op_num_threads": 10**6}}},
    "session_options": {"decoder": {"session_options": [{"custom_ops_library": "ops"}]}},
    r"pipeline\.0\.part\.session_options": {
        "decoder": {"pipeline": [{"part": {**GRAPH, "session_options": {"custom_ops_library": "ops"}}}]}
    },
    r"vision\.session_options": {"vision": {**GRAPH, "session_options": {"ep.context_file_path": "x"}}},
    r"run_options": {"encoder": {**GRAPH, "run_options": {"onnxruntime_run_profile": "x"}}},
    "backend_path": {"decoder": {"session_options": {"provider_options": [{"QNN": {"backend_path": "Htp"}}]}}},
    "dawnProcTable": {"decoder": {"session_options": {"provider_options": [{"webgpu": {"dawnProcTable": "1"}}]}}},
    "Mine": {"decoder": {"session_options": {"provider_options": [{"Mine": {}}]}}},
    r"provider_options\.7": {"decoder": {"session_options": {"provider_options": [7]}}},
    r"speech\.config_filename": {"speech": {"config_filename": "../outside.json"}},
    r"joiner\.filename": {"joiner": {"filename": "/etc/hostname"}},
    r"embedding\.filename": {"embedding": {"filename": 7}},
    "plugin": {"plugin": "plugin.so.1"},
    "library_path": {"extra": [{"library_path": "x"}]},
}


@pytest.mark.parametrize("named", REFUSED)
def test_options_that_name_code_or_files_from_elsewhere_are_refused(bundle, named):
    edited(bundle, **REFUSED[named])
    with pytest.raises(InputError, match=named):
        check_genai_config(bundle)


def test_an_option_that_is_given_twice_is_refused_whichever_counts(bundle):
    file = bundle / "genai_config.json"
    twice = '"session_options": {"custom_ops_library": "ops.so"}, "session_options": {'
    file.write_text(file.read_text("utf-8").replace('"session_options": {', twice), "utf-8")
    with pytest.raises(InputError, match="'session_options' is given twice in one object"):
        check_genai_config(bundle)


def test_an_object_of_the_largest_size_is_checked_at_once(bundle):
    edited(
        bundle, extra={str(number): 0 for number in range(300_000)}
    )  # 3.9 MB: minutes, if names were compared in pairs
    check_genai_config(bundle)


def test_what_the_model_builder_writes_is_taken(bundle):
    check_genai_config(bundle)
    options = {"enable_cuda_graph": "0", "multi_rotary_cache_concat_offset": "4096"}
    session = {
        "log_id": "onnxruntime-genai",
        "intra_op_num_threads": 4,
        "enable_mem_pattern": False,
        "ep.cuda.fpa_intb_gemm": "1",
        "optimization.disable_specified_optimizers": "MatMulNBitsFusion",
        "provider_options": [{"cuda": options}, {"NvTensorRtRtx": {}}, {"DmlExecutionProvider": {}}],
    }
    edited(bundle, decoder={"session_options": session, "newer": 7}, newer={"key": "value"})
    check_genai_config(bundle)
