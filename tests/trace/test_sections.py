from __future__ import annotations

from pathlib import Path

from crm_reference.trace.sections import scan, scan_page

PAGE = """# People

Text about `{crm:covers}`.

```{crm:covers} REQ-1.1-crud REQ-1.1-search
```

## Find #

:::{crm:covers}
REQ-1.1-filtering
:::

````{note}
```{crm:covers} REQ-1.1-bulk
```
````
"""


class TestScan:
    def test_reads_arguments_and_content_with_their_heading(self) -> None:
        found = [(id, s.line, s.title) for id, s in scan_page(PAGE, "people")]

        assert found == [("REQ-1.1-crud", 5, "People"), ("REQ-1.1-search", 5, "People"), ("REQ-1.1-filtering", 11, "Find")]

    def test_directive_inside_another_fence_does_not_count(self) -> None:
        assert "REQ-1.1-bulk" not in dict(scan_page(PAGE, "people"))

    def test_walks_folders_in_order(self, tmp_path: Path) -> None:
        for name in ("b", "a/c"):
            path = tmp_path / f"{name}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(PAGE, encoding="utf-8")

        assert [s.docname for s in scan(tmp_path)["REQ-1.1-crud"]] == ["a/c", "b"]
