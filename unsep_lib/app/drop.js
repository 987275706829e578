function render({ model, el }) {
  const zone = document.createElement("label");
  const text = document.createElement("span");
  const input = document.createElement("input");
  zone.className = "unsep-drop";
  const invitation = "Drop a recording here, or choose one: ";
  const say = (sentence) => (text.textContent = sentence + invitation);
  text.setAttribute("aria-live", "polite");
  say("");
  input.type = "file";
  input.accept = model.get("accept");
  zone.append(text, input);
  el.append(zone);

  async function send(files) {
    if (!files.length) return;
    const [file, count] = [files[0], files.length]; // the list empties while the file is read
    const fits = file.size <= model.get("most_bytes");
    try {
      const buffers = fits ? [await file.arrayBuffer()] : [];
      say(count > 1 ? `Of ${count} files only ${file.name} is taken. ` : "");
      model.send({ name: file.name, size: file.size }, undefined, buffers);
    } catch {
      say(`${file.name} cannot be read (is it a folder?). `);
    }
  }

  function over(event, inside) {
    event.preventDefault();
    zone.classList.toggle("unsep-over", inside);
  }

  input.addEventListener("click", () => (input.value = ""));
  input.addEventListener("change", () => send(input.files));
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, false));
  zone.addEventListener("drop", (event) => {
    over(event, false);
    send(event.dataTransfer.files);
  });
}
export default { render };
