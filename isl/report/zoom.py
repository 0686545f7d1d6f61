"""The script of pictures that can be magnified: the only one that a page may hold."""

SCRIPT = """\
for (const group of document.querySelectorAll(".zoom")) {
  const frames = [...group.querySelectorAll(".scroll")];
  const bar = document.createElement("div");
  const shown = document.createElement("span");
  let scale = 1, at = [0, 0];
  function move(left, top) {
    for (const frame of frames) frame.scrollTo(left, top);
    at = [frames[0].scrollLeft, frames[0].scrollTop];
  }
  // The point (x, y), shares of a frame, stays where it is.
  function magnify(to, x = 0.5, y = 0.5) {
    const old = scale;
    scale = Math.min(16, Math.max(1, to));
    const first = frames[0];
    const left = (at[0] + x * first.clientWidth) * scale / old - x * first.clientWidth;
    const top = (at[1] + y * first.clientHeight) * scale / old - y * first.clientHeight;
    for (const frame of frames) {
      frame.style.aspectRatio = scale > 1 ? `${frame.clientWidth} / ${frame.clientHeight}` : "";
      frame.style.overflow = scale > 1 ? "auto" : "";
      frame.firstElementChild.style.width = `${100 * scale}%`;
      frame.firstElementChild.style.maxWidth = "none";
      frame.firstElementChild.style.imageRendering = scale > 1 ? "pixelated" : "";
    }
    move(left, top);
    shown.textContent = `${scale.toFixed(scale % 1 ? 1 : 0)} x`;
  }
  function button(text, title, act) {
    const made = document.createElement("button");
    Object.assign(made, { textContent: text, title, type: "button", onclick: act });
    made.setAttribute("aria-label", title);
    bar.append(made);
  }
  button("\\u2212", "smaller", () => magnify(scale / 2));
  button("+", "larger", () => magnify(scale * 2));
  button("whole", "whole pictures", () => magnify(1));
  bar.append(shown);
  bar.className = "zoombar";
  group.prepend(bar);
  for (const frame of frames) {
    frame.addEventListener("scroll", () => {
      // What `move` did is told, too, and later.
      const [left, top] = [frame.scrollLeft, frame.scrollTop];
      if (Math.abs(left - at[0]) > 1 || Math.abs(top - at[1]) > 1) move(left, top);
    });
    const place = (event, act) => {
      const box = frame.getBoundingClientRect();
      act((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      event.preventDefault();
    };
    frame.addEventListener("dblclick", (event) =>
      place(event, (x, y) => magnify(event.shiftKey ? scale / 2 : scale * 2, x, y)));
    frame.addEventListener("wheel", (event) => {
      if (event.ctrlKey) {
        place(event, (x, y) => magnify(scale * Math.exp(-event.deltaY / 300), x, y));
      }
    }, { passive: false });
    frame.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons & 1) {
        move(at[0] - event.movementX, at[1] - event.movementY);
      }
    });
    frame.addEventListener("dragstart", (event) => event.preventDefault());
  }
  magnify(1);
}
"""
"""Pictures of a group are magnified and moved together, by buttons, double clicks, the wheel with
Ctrl, and dragging; without scripts all of them are shown whole."""

HOW = (
    "Double-click, + or the wheel with Ctrl magnifies pictures that lie side by side; dragging "
    "moves them together."
)
"""A sentence for the reader."""
