/** The art of the empty page: 128 slices, as the network reads them, in the shape of a spoken phrase. */

import { prepared } from "./canvas";
import { spectral } from "./palette";

const COUNT = 128;
const SYLLABLES = [0.09, 0.2, 0.27, 0.41, 0.5, 0.63, 0.7, 0.86];

/** Draw them into a canvas. */
export function drawSlices(canvas: HTMLCanvasElement): void {
  const { pen, width, height } = prepared(canvas);
  const step = width / COUNT;
  pen.lineCap = "round";
  pen.lineWidth = Math.max(1.5, step * 0.52);
  for (let k = 0; k < COUNT; k++) {
    const place = (k + 0.5) / COUNT;
    const level = SYLLABLES.reduce(
      (sum, at, n) => sum + (0.55 + 0.45 * Math.sin(5 * n + 1)) * Math.exp(-(((place - at) / 0.028) ** 2)),
      0.05,
    );
    const flutter = 0.72 + 0.28 * Math.sin(k * 12.9898 + Math.sin(k * 4.1) * 3);
    const half = Math.max(0.6, (Math.min(1, level * flutter) * height) / 2 - pen.lineWidth);
    pen.strokeStyle = spectral(0.18 + 0.78 * Math.min(1, level * flutter));
    pen.beginPath();
    pen.moveTo((k + 0.5) * step, height / 2 - half);
    pen.lineTo((k + 0.5) * step, height / 2 + half);
    pen.stroke();
  }
}
