"""The notebook runs from beginning to end, and what stands in it is small and speaks of no machine."""

import re
from pathlib import Path

import nbclient
import nbformat

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "first-survey.ipynb"


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    said = [output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stderr"]
    assert not said
    assert not list(tmp_path.iterdir())


def test_the_notebook_is_stored_executed_and_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert NOTEBOOK.stat().st_size < 300_000


def test_the_notebook_speaks_of_no_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    assert not [text for text in texts if re.search(r"(^|[\s'\"(])/(home|root|tmp|opt|usr|work|Users)/", text)]
    assert not any(cell.metadata for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
