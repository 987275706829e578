function render({ model, el }) {
  const zone = document.createElement("label");
  const text = document.createElement("span");
  const input = document.createElement("input");
  zone.className = "unsep-drop";
  text.textContent = "Drop a recording here, or choose one: ";
  input.type = "file";
  input.accept = model.get("accept");
  zone.append(text, input);
  el.append(zone);

  async function send(file) {
    if (!file) return;
    const fits = file.size <= model.get("most_bytes");
    const buffers = fits ? [await file.arrayBuffer()] : [];
    model.send({ name: file.name, size: file.size }, undefined, buffers);
  }

  function over(event, inside) {
    event.preventDefault();
    zone.classList.toggle("unsep-over", inside);
  }

  input.addEventListener("click", () => (input.value = ""));
  input.addEventListener("change", () => send(input.files[0]));
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, false));
  zone.addEventListener("drop", (event) => {
    over(event, false);
    send(event.dataTransfer.files[0]);
  });
}
export default { render };
