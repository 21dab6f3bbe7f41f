/** A recording over time: its waveform, the classes' probabilities on top of each other, and what they add up to. */

import { clock, moments, prepared, wave } from "./canvas";
import { styled, tone } from "./palette";
import { ENVELOPE_SECONDS } from "./protocol";
import { type Segment, spans } from "./timeline";

const NAMES = 26; // height of the row of names

/** What is drawn. */
export interface Track {
  seconds: number; // that the width shows
  start: number; // seconds at the left border
  labels: readonly string[];
  segments: readonly Segment[];
  selected: Segment | null;
  envelope: Float32Array;
}

/** Draw a track into a canvas. */
export function draw(canvas: HTMLCanvasElement, track: Track): void {
  const { pen, width, height } = prepared(canvas);
  const x = (seconds: number) => ((seconds - track.start) / track.seconds) * width;
  const sound = { left: 0, top: 2, width, height: 0.24 * height };
  const names = height - 22 - NAMES;
  pen.fillStyle = styled("--soft");
  const first = track.start / ENVELOPE_SECONDS;
  wave(pen, track.envelope, [first, first + track.seconds / ENVELOPE_SECONDS], sound);
  const divided = spans(track.segments);
  const areas = { top: sound.height + 8, bottom: names - 3 };
  stack(pen, track, x, areas);
  for (const span of divided) name(pen, span, track.labels, [x(span.start), x(span.end)], names);
  if (track.selected) bracket(pen, [x(track.selected.start), x(track.selected.end)], height - 21);
  pen.fillStyle = styled("--soft");
  pen.textBaseline = "top";
  for (const moment of moments(track.start, track.start + track.seconds, width)) {
    pen.textAlign = moment === track.start ? "left" : x(moment) > width - 16 ? "right" : "center";
    pen.fillText(clock(moment), x(moment), height - 14);
  }
}

/** Probabilities at the windows' middles, joined, one class on top of the other; silence is a gap. */
function stack(
  pen: CanvasRenderingContext2D,
  track: Track,
  x: (seconds: number) => number,
  box: { top: number; bottom: number },
): void {
  const points = track.segments.map(({ start, end, scores }) => ({ x: x((start + end) / 2), scores }));
  if (!points.length) return;
  const [first, last] = [points[0], points[points.length - 1]];
  points.unshift({ ...first, x: x(track.segments[0].start) });
  points.push({ ...last, x: x(track.segments[track.segments.length - 1].end) });
  const below = points.map(() => 0);
  track.labels.forEach((_, index) => {
    const lower = [...below];
    points.forEach(({ scores }, k) => (below[k] += scores[index]));
    const y = (share: number) => box.bottom - share * (box.bottom - box.top);
    const area = new Path2D();
    points.forEach((point, k) => area.lineTo(point.x, y(below[k])));
    for (let k = points.length - 1; k >= 0; k--) area.lineTo(points[k].x, y(lower[k]));
    pen.fillStyle = styled(tone(index));
    pen.globalAlpha = 0.82;
    pen.fill(area);
    pen.globalAlpha = 1;
  });
}

/** A span's block, with its label where there is room. */
function name(
  pen: CanvasRenderingContext2D,
  span: Segment,
  labels: readonly string[],
  [begin, right]: [number, number],
  top: number,
): void {
  const left = Math.max(0, begin); // while somebody speaks, what was said first has left the picture
  const index = labels.indexOf(span.label);
  pen.fillStyle = styled(tone(index));
  pen.fillRect(left + 0.5, top, right - left - 1, NAMES - 5);
  pen.fillStyle = styled("--on-tone");
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  const room = right - left - 4;
  const words = [span.label, span.label.slice(0, 3)];
  const word = words.find((word) => pen.measureText(word).width <= room);
  if (word) pen.fillText(word, (left + right) / 2, top + (NAMES - 5) / 2 + 0.5);
}

/** A line under the selected window, with feet. */
function bracket(pen: CanvasRenderingContext2D, [left, right]: [number, number], y: number): void {
  pen.fillStyle = styled("--ink");
  pen.fillRect(left, y, right - left, 2.5);
  pen.fillRect(left, y - 5, 2.5, 7);
  pen.fillRect(right - 2.5, y - 5, 2.5, 7);
}
