// What the page has for MNIST alone: test digits to choose from, and a pad to draw on.

import { pad } from "./pad.js";

const SIDE = 28; // pixels of the pad and of a test digit
const FIRST = 3;

const at = (id) => document.getElementById(id);

/**
 * Offer the test digits and the pad, and begin with a digit.
 * @param {{take: function(object): void, source: function(): object, update: function(): void}} page `take` is given
 *   what is to be restored, `source` tells what was taken last, `update` is called when the drawing has changed
 * @returns {Promise<{unchoose: function(): void}>} `unchoose` unchecks the test digits
 */
export async function digits({ take, source, update }) {
  offer(await createImageBitmap(await (await fetch("digits.png")).blob()));
  const drawing = pad(at("original"), SIDE, { begun: beginStroke, drawn: update });
  at("digits").addEventListener("change", ({ target }) => choose(Number(target.value)));
  at("clear").addEventListener("click", empty);
  choose(FIRST);
  at("digits").querySelectorAll("input")[FIRST].checked = true;
  return { unchoose };

  function offer(strip) {
    for (let digit = 0; digit < strip.width / SIDE; digit++) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "digit", value: digit });
      input.setAttribute("aria-label", `Test digit ${digit}`);
      const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
      canvas.getContext("2d").drawImage(strip, -digit * SIDE, 0);
      label.append(input, canvas);
      at("digits").append(label);
    }
  }

  function choose(digit) {
    const canvas = at("digits").querySelectorAll("canvas")[digit];
    take({ content: canvas, width: SIDE, height: SIDE, name: `test digit ${digit}`, isDrawable: true });
  }

  function unchoose() {
    for (const input of at("digits").querySelectorAll("input")) input.checked = false;
  }

  /** Begin a new drawing. */
  function empty() {
    drawing.clear();
    unchoose();
    take({ content: drawing.ink, width: SIDE, height: SIDE, name: "drawing", isDrawable: true });
  }

  /** Whether a stroke may begin: on a file it would hide what somebody opened. */
  function beginStroke() {
    if (source().isDrawable && source().content !== drawing.ink) empty();
    return source().isDrawable;
  }
}
