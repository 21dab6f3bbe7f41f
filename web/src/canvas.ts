/** What the page's drawings share: a canvas as sharp as the screen, time axes. */

/** Lay a canvas out at its size on the page, at the screen's own resolution; lengths are then those of style sheets. */
export function prepared(canvas: HTMLCanvasElement): {
  pen: CanvasRenderingContext2D;
  width: number;
  height: number;
  scale: number;
} {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d")!;
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width, height, scale };
}

/** Round times that divide a stretch of seconds where labels of some width have room. */
export function moments(start: number, end: number, width: number): number[] {
  const steps = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800];
  const step = steps.find((step) => ((end - start) / step) * 48 <= width) ?? end - start;
  const first = Math.ceil(start / step - 1e-6);
  return Array.from({ length: Math.floor(end / step + 1e-6) - first + 1 }, (_, k) => (first + k) * step);
}

/** Seconds as people write them. */
export function clock(seconds: number): string {
  if (seconds < 60) return String(Number(seconds.toFixed(1)));
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** A waveform from its envelope, filled, between two places of the recording in steps of the envelope. */
export function wave(
  pen: CanvasRenderingContext2D,
  envelope: Float32Array,
  steps: [number, number],
  box: { left: number; top: number; width: number; height: number },
): void {
  const [first, last] = steps;
  const middle = box.top + box.height / 2;
  const loudest = Math.max(
    0.02,
    envelope
      .subarray(2 * Math.max(0, Math.floor(first)), 2 * Math.ceil(last))
      .reduce((a, b) => Math.max(a, Math.abs(b)), 0),
  );
  const gain = box.height / 2 / loudest;
  for (let x = 0; x < box.width; x += 2) {
    const from = Math.floor(first + (x / box.width) * (last - first));
    const to = Math.max(from + 1, Math.floor(first + ((x + 2) / box.width) * (last - first)));
    let [low, high] = [0, 0];
    for (let k = 2 * from; k < 2 * to && k < envelope.length; k += 2) {
      low = Math.min(low, envelope[k]);
      high = Math.max(high, envelope[k + 1]);
    }
    if (2 * from < envelope.length)
      pen.fillRect(box.left + x, middle - high * gain - 0.5, 1.3, (high - low) * gain + 1);
  }
}
