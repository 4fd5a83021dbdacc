// A pad to draw on, with pen, finger or mouse: light strokes on a dark ground, as MNIST has them.

const FINE = 10; // the ink is kept this much finer, so that strokes have soft edges
const PEN = 2.2; // pixels of the pad: the width of MNIST's strokes

/**
 * Let people draw on an element.
 * @param {HTMLElement} element where pointers are followed
 * @param {number} side pixels of the pad's side
 * @param {{begun: function(): boolean, drawn: function(): void}} on `begun` is asked before a stroke, and refuses it by
 *   false; `drawn` is called when the ink has changed
 * @returns {{ink: OffscreenCanvas, clear: function(): void}}
 */
export function pad(element, side, on) {
  const ink = new OffscreenCanvas(side * FINE, side * FINE);
  const context = ink.getContext("2d", { alpha: false });
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: PEN * FINE, strokeStyle: "white" });
  let from = null;

  function place(event) {
    const box = element.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * ink.width,
      ((event.clientY - box.top) / box.height) * ink.height,
    ];
  }

  function stroke(to) {
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
    on.drawn();
  }

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary || !on.begun()) return;
    element.setPointerCapture(event.pointerId);
    from = place(event);
    stroke(from); // a dot
  });
  element.addEventListener("pointermove", (event) => {
    if (from !== null && event.isPrimary) stroke(place(event));
  });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (from = null));

  return { ink, clear: () => context.fillRect(0, 0, ink.width, ink.height) };
}
