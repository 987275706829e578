"""The place to drop a recording, in a page of its own: what is sent, and what is told of the rest."""

from unsep_lib.app.page import FOLDER

PAGE = """<!DOCTYPE html><html lang="en"><head><title>drop</title></head><body><main></main><script>{script}
window.sent = [];
const model = {{ get: (name) => ({{ accept: ".wav", most_bytes: 100 }})[name],
                 send: (file, _, buffers) => window.sent.push([file.name, file.size, buffers.length]) }};
render({{ model, el: document.querySelector("main") }});
</script></body></html>"""
DROP = """([files, folder]) => {
    const transfer = new DataTransfer();
    for (const [name, size] of files) transfer.items.add(new File(["x".repeat(size)], name));
    if (folder) transfer.files[0].arrayBuffer = () => Promise.reject(new Error("a folder"));
    document.querySelector(".unsep-drop").dispatchEvent(
        new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def test_of_several_files_the_others_are_told_and_what_cannot_be_read_too(new_page, tmp_path):
    script = (FOLDER / "drop.js").read_text(encoding="utf-8").replace("export default { render };", "")
    (tmp_path / "page.html").write_text(PAGE.format(script=script))
    page = new_page()
    page.goto((tmp_path / "page.html").as_uri())
    text = page.locator(".unsep-drop span")
    page.evaluate(DROP, [[["a.wav", 5], ["b.wav", 5], ["c.wav", 500]], False])
    page.wait_for_function("() => window.sent.length === 1")
    assert page.evaluate("() => window.sent") == [["a.wav", 5, 1]]
    assert text.inner_text().startswith("Of 3 files only a.wav is taken. Drop a recording here")
    page.evaluate(DROP, [[["film.wav", 500]], False])
    page.wait_for_function("() => window.sent.length === 2")
    assert page.evaluate("() => window.sent[1]") == ["film.wav", 500, 0]
    assert text.inner_text().startswith("Drop a recording here")
    page.evaluate(DROP, [[["songs", 5]], True])
    page.wait_for_function("() => document.querySelector('.unsep-drop span').textContent.includes('a folder?')")
    assert text.inner_text().startswith("songs cannot be read") and len(page.evaluate("() => window.sent")) == 2
