/** Windows over a recording, and the files others read them in: the twin of src/feltone/timeline.py. */

export const SILENCE = "silence"; // label of a window in which there is nothing to recognise

/** One analysed window, or a span of equal windows. */
export interface Segment {
  start: number; // seconds
  end: number;
  label: string;
  scores: number[]; // probabilities in the order of the labels; all zero for silence
  unsure: boolean; // whether the highest is below what the model calls sure; of a span, in all its windows
}

/** The windows of one recording, in order. */
export interface Timeline {
  name: string;
  hop: number; // seconds between window starts
  labels: readonly string[];
  segments: readonly Segment[];
}

/** How recordings are cut, under the names model.json has for it. */
export interface Windowing {
  window_seconds: number;
  hop_seconds: number;
  shortest_window_seconds: number;
}

/** Start and end in seconds of the windows that `Recognizer.segments` cuts a recording of `length` samples into. */
export function windows(length: number, rate: number, windowing: Windowing): [number, number][] {
  const size = Math.round(windowing.window_seconds * rate);
  const step = Math.round(windowing.hop_seconds * rate);
  const found: [number, number][] = [];
  let start = 0;
  for (; length - start >= size; start += step) found.push([start / rate, (start + size) / rate]);
  const rest = length - start;
  const fresh = rest - (start ? size - step : 0); // what the last full window has not covered
  if (fresh >= windowing.shortest_window_seconds * rate || (!start && rest)) found.push([start / rate, length / rate]);
  return found;
}

/** Where the share of a window begins: each moment belongs to the window whose middle is nearest. */
export function border(segments: readonly Segment[], index: number): number {
  if (!index) return 0;
  if (index === segments.length) return segments[index - 1].end;
  const [before, after] = [segments[index - 1], segments[index]];
  return (before.start + before.end + after.start + after.end) / 4;
}

/** The recording divided without overlap; windows of one label after one another are one span, their scores averaged. */
export function spans(segments: readonly Segment[]): Segment[] {
  const merged: Segment[] = [];
  for (let first = 0, next = 0; first < segments.length; first = next) {
    const { label } = segments[first];
    while (next < segments.length && segments[next].label === label) next++;
    const run = segments.slice(first, next);
    const scores = run[0].scores.map((_, k) => run.reduce((sum, segment) => sum + segment.scores[k], 0) / run.length);
    merged.push({
      start: border(segments, first),
      end: border(segments, next),
      label,
      scores,
      unsure: run.every((segment) => segment.unsure),
    });
  }
  return merged;
}

/** One row per window: start, end, label, whether it is unsure, and a column per label. */
export function toCsv({ labels, segments }: Timeline): string {
  const rows = segments.map(({ start, end, label, scores, unsure }) => [
    ...[start, end].map((seconds) => fixed(seconds, 3)),
    label,
    String(unsure),
    ...scores.map((score) => fixed(score, 4)),
  ]);
  return [["start", "end", "label", "unsure", ...labels], ...rows]
    .map((row) => `${row.map(cell).join(",")}\n`)
    .join("");
}

/** One document with every window's scores. */
export function toJson({ name, hop, labels, segments }: Timeline): string {
  const told = segments.map(({ start, end, label, scores, unsure }) => {
    const chances = labels.map((known, k) => `    ${quoted(known)}: ${float(scores[k])}`).join(",\n");
    const head = `   "start": ${float(start)},\n   "end": ${float(end)},\n   "label": ${quoted(label)}`;
    return `  {\n${head},\n   "scores": {\n${chances}\n   },\n   "unsure": ${unsure}\n  }`;
  });
  return `{\n "name": ${quoted(name)},\n "hop": ${float(hop)},\n "segments": [\n${told.join(",\n")}\n ]\n}`;
}

/** Decimals as Python rounds them: halves, of which floats have few, to the even neighbour. */
function fixed(value: number, digits: number): string {
  const halves = value * 2 ** (digits + 1);
  if (!Number.isInteger(halves) || halves % 2 === 0) return value.toFixed(digits);
  const below = Math.floor(value * 10 ** digits);
  return ((below + (below % 2)) / 10 ** digits).toFixed(digits);
}

/** A float as Python writes it: always with a point or an exponent of two digits. */
function float(value: number): string {
  if (Number.isInteger(value)) return value.toFixed(1);
  if (Math.abs(value) >= 1e-4) return String(value);
  return value.toExponential().replace(/e-(\d)$/, "e-0$1");
}

/** A string as Python's JSON has it: in ASCII. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function cell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
