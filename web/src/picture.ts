/** A window as a picture: waveform, spectrogram with the attention over it, attention over time. */

import { overTime } from "./attention";
import { clock, moments, prepared, wave } from "./canvas";
import { type FeatureConfig, hzToMel } from "./features";
import { channel, spectral } from "./palette";
import { ENVELOPE_SECONDS } from "./protocol";

const TICKS_HZ = [250, 500, 1000, 2000, 4000, 8000];
const GLOW = [110, 245, 255]; // cyan does not occur in the spectrogram, so it reads as a second layer
const INK = "#d9cfe0";
const FAINT = "rgb(217 207 224 / 0.28)";

/** Lengths from the picture's left and right border to what is drawn. */
export const MARGIN = { left: 38, right: 14 };

/** What is drawn. */
export interface Window {
  start: number; // seconds
  end: number;
  image: Float32Array | null;
  mask: Float32Array | null;
  envelope: Float32Array; // of the whole recording
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Draw a window into a canvas, whose width shows `clip_seconds`. */
export function draw(canvas: HTMLCanvasElement, window: Window, config: FeatureConfig): void {
  const { pen, width, height, scale } = prepared(canvas);
  const wide = { left: MARGIN.left, width: width - MARGIN.left - MARGIN.right };
  const tall = height - 24;
  const sound = { ...wide, top: 4, height: 0.17 * tall };
  const strip = { ...wide, top: 0.86 * tall, height: 0.14 * tall };
  const spectrogram = { ...wide, top: sound.height + 14, height: strip.top - sound.height - 22 };
  const share = Math.min(1, (window.end - window.start) / config.clip_seconds);
  const first = window.start / ENVELOPE_SECONDS;
  pen.fillStyle = INK;
  pen.save();
  pen.beginPath();
  pen.rect(wide.left, 0, share * wide.width + 1, height);
  pen.clip();
  wave(pen, window.envelope, [first, first + config.clip_seconds / ENVELOPE_SECONDS], sound);
  pen.restore();
  paint(pen, window, config, spectrogram, scale);
  if (window.mask) curve(pen, overTime(window.mask, config.columns), strip);
  hatch(pen, spectrogram, share);
  if (!window.image) note(pen, "silence", spectrogram, 0);
  else if (share < 0.85) note(pen, "padding", spectrogram, share);
  axes(pen, window, config, spectrogram, strip);
}

/** Values of an image at the pixels of a box, between pixels in proportion. */
function resized(values: Float32Array, [rows, columns]: [number, number], width: number, height: number): Float32Array {
  const across = places(width, columns);
  const down = places(height, rows);
  const found = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const [above, below, dy] = [columns * down.low[y], columns * down.high[y], down.part[y]];
    for (let x = 0; x < width; x++) {
      const [low, high, dx] = [across.low[x], across.high[x], across.part[x]];
      const top = values[above + low] + (values[above + high] - values[above + low]) * dx;
      const bottom = values[below + low] + (values[below + high] - values[below + low]) * dx;
      found[y * width + x] = top + (bottom - top) * dy;
    }
  }
  return found;
}

function places(pixels: number, count: number): { low: Uint16Array; high: Uint16Array; part: Float32Array } {
  const at = Float32Array.from({ length: pixels }, (_, k) =>
    Math.min(count - 1, Math.max(0, ((k + 0.5) * count) / pixels - 0.5)),
  );
  const low = Uint16Array.from(at, Math.floor);
  return { low, high: low.map((place) => Math.min(count - 1, place + 1)), part: at.map((place, k) => place - low[k]) };
}

function paint(
  pen: CanvasRenderingContext2D,
  { image, mask }: Window,
  config: FeatureConfig,
  box: Box,
  scale: number,
): void {
  const [width, height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
  const { mel_bands: bands, columns } = config;
  if (!image || !mask) {
    pen.fillStyle = spectral(0);
    pen.fillRect(box.left, box.top, box.width, box.height);
    return;
  }
  const [values, glow] = [image, mask].map((layer) => resized(layer, [bands, columns], width, height));
  const pixels = new ImageData(width, height);
  for (let k = 0; k < values.length; k++) {
    // Low tones are at the bottom.
    const at = 4 * ((height - 1 - Math.floor(k / width)) * width + (k % width));
    for (let which = 0; which < 3; which++) {
      const colour = channel(values[k], which);
      pixels.data[at + which] = colour + (GLOW[which] - colour) * 0.5 * glow[k];
    }
    pixels.data[at + 3] = 255;
  }
  pen.putImageData(pixels, Math.round(box.left * scale), Math.round(box.top * scale));
}

function curve(pen: CanvasRenderingContext2D, levels: Float32Array, box: Box): void {
  const bottom = box.top + box.height;
  const line = new Path2D();
  levels.forEach((level, k) =>
    line.lineTo(box.left + ((k + 0.5) / levels.length) * box.width, bottom - level * (box.height - 2)),
  );
  const area = new Path2D(line);
  area.lineTo(box.left + box.width, bottom);
  area.lineTo(box.left, bottom);
  pen.fillStyle = `rgb(${GLOW.join(" ")} / 0.2)`;
  pen.fill(area);
  pen.strokeStyle = `rgb(${GLOW.join(" ")})`;
  pen.lineWidth = 1.5;
  pen.stroke(line);
}

/** Thin diagonals over everything after a share of the width. */
function hatch(pen: CanvasRenderingContext2D, box: Box, share: number): void {
  if (share >= 1) return;
  const left = box.left + share * box.width;
  const right = box.left + box.width;
  pen.save();
  pen.beginPath();
  pen.rect(left, box.top, right - left, box.height);
  pen.clip();
  pen.strokeStyle = FAINT;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let x = left - box.height; x < right; x += 9) {
    pen.moveTo(x, box.top + box.height);
    pen.lineTo(x + box.height, box.top);
  }
  pen.stroke();
  pen.restore();
}

/** A word in the middle of what follows a share of the width. */
function note(pen: CanvasRenderingContext2D, word: string, box: Box, share: number): void {
  const middle = box.left + (box.width * (1 + share)) / 2;
  const half = pen.measureText(word).width / 2 + 8;
  pen.fillStyle = spectral(0);
  pen.fillRect(middle - half, box.top + box.height / 2 - 11, 2 * half, 22);
  pen.fillStyle = INK;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(word, middle, box.top + box.height / 2);
}

function axes(
  pen: CanvasRenderingContext2D,
  { start }: Window,
  config: FeatureConfig,
  spectrogram: Box,
  strip: Box,
): void {
  pen.fillStyle = INK;
  pen.strokeStyle = FAINT;
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const hertz of TICKS_HZ.filter((tick) => tick <= config.sample_rate / 2)) {
    const y = spectrogram.top + (1 - height(hertz, config)) * spectrogram.height;
    pen.fillText(`${hertz / 1000}`, spectrogram.left - 7, Math.max(y, spectrogram.top + 6));
  }
  pen.fillText("kHz", spectrogram.left - 7, spectrogram.top - 12);
  const bottom = strip.top + strip.height;
  pen.beginPath();
  pen.moveTo(strip.left, bottom + 0.5);
  pen.lineTo(strip.left + strip.width, bottom + 0.5);
  pen.stroke();
  pen.textBaseline = "top";
  pen.textAlign = "center";
  for (const moment of moments(start, start + config.clip_seconds, strip.width)) {
    const x = strip.left + ((moment - start) / config.clip_seconds) * strip.width;
    pen.fillText(`${clock(moment)}${moment ? "" : " s"}`, x, bottom + 7);
  }
}

/** Height of a frequency in the image as a share: a band's tip lies in the middle of its row. */
function height(hertz: number, { mel_bands: bands, sample_rate: rate }: FeatureConfig): number {
  return Math.min(1, Math.max(0, ((hzToMel(hertz) / hzToMel(rate / 2)) * (bands + 1) - 0.5) / bands));
}
