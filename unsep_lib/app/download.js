function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-button unsep-download";
  button.type = "button";
  button.addEventListener("click", () => model.send({}));
  model.on("msg:custom", (content, buffers) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(buffers));
    link.download = content.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const update = () => {
    button.textContent = model.get("description");
    button.style.display = model.get("offered") ? "" : "none";
  };
  model.on("change", update);
  update();
  el.append(button);
}
export default { render };
