"use strict";
(() => {
  const SCALES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
  const dialog = document.getElementById("zoom");
  const pane = dialog.querySelector(".pane");
  const image = pane.querySelector("img");
  const views = dialog.querySelector(".views-of");
  const scaleShown = dialog.querySelector("output");
  let scale = 4;

  // Keeps the pixel under a point of the pane where it is.
  function setScale(wanted, x = pane.clientWidth / 2, y = pane.clientHeight / 2) {
    const box = image.getBoundingClientRect(), outer = pane.getBoundingClientRect();
    const u = (outer.left + x - box.left) / scale, v = (outer.top + y - box.top) / scale;
    scale = wanted;
    resize();
    const now = image.getBoundingClientRect();
    pane.scrollLeft += now.left + u * scale - outer.left - x;
    pane.scrollTop += now.top + v * scale - outer.top - y;
  }

  function resize() {
    image.style.width = image.naturalWidth * scale + "px";
    image.style.height = image.naturalHeight * scale + "px";
    scaleShown.textContent = scale * 100 + "%";
  }

  function step(by, x, y) {
    const at = SCALES.indexOf(scale) + by;
    if (SCALES[at]) setScale(SCALES[at], x, y);
  }

  async function show(button) {
    image.src = button.querySelector("img").src;
    image.alt = button.querySelector("img").alt;
    for (const other of views.children) other.setAttribute("aria-pressed", String(other.source === button));
    await image.decode();
    resize();
  }

  async function open(button, event) {
    const article = button.closest("article");
    dialog.querySelector(".name").textContent = article.querySelector("h2").textContent;
    views.replaceChildren(...[...article.querySelectorAll(".view")].map((source, number) => {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.textContent = source.dataset.view;
      choice.title = "key " + (number + 1);
      choice.source = source;
      choice.addEventListener("click", () => show(source));
      return choice;
    }));
    const box = button.getBoundingClientRect();
    const byKey = event.detail === 0;
    const u = byKey ? 0.5 : (event.clientX - box.left) / box.width;
    const v = byKey ? 0.5 : (event.clientY - box.top) / box.height;
    scale = 4;
    dialog.showModal();
    pane.focus();
    await show(button);
    pane.scrollLeft = u * image.offsetWidth - pane.clientWidth / 2;
    pane.scrollTop = v * image.offsetHeight - pane.clientHeight / 2;
  }

  for (const button of document.querySelectorAll(".view")) {
    button.addEventListener("click", (event) => open(button, event));
  }
  dialog.querySelector(".in").addEventListener("click", () => step(1));
  dialog.querySelector(".out").addEventListener("click", () => step(-1));
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    const choice = views.children[Number(event.key) - 1];
    if (choice) show(choice.source);
    else if (event.key === "+" || event.key === "=") step(1);
    else if (event.key === "-") step(-1);
    else return;
    event.preventDefault();
  });
  pane.addEventListener("wheel", (event) => {
    const outer = pane.getBoundingClientRect();
    step(event.deltaY < 0 ? 1 : -1, event.clientX - outer.left, event.clientY - outer.top);
    event.preventDefault();
  }, { passive: false });

  let held = null;
  pane.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse") return;
    held = [event.clientX + pane.scrollLeft, event.clientY + pane.scrollTop];
    pane.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  pane.addEventListener("pointermove", (event) => {
    if (!held) return;
    pane.scrollLeft = held[0] - event.clientX;
    pane.scrollTop = held[1] - event.clientY;
  });
  for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => { held = null; });
})();
