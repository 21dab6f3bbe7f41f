/** What Python makes of five bundled clips and other inputs: written by tests/golden/page.py. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import type { FeatureConfig } from "../src/features";

interface Row {
  start: number;
  end: number;
  label: string;
  unsure: boolean;
  scores: Record<string, number>;
}

interface Index {
  features: FeatureConfig;
  clips: Record<string, number>;
  chunk: number;
  looks: number[];
  patches: [number, number][];
  windows: Record<string, [number, number][]>;
  timeline: { name: string; hop: number; segments: Row[]; spans: Row[]; csv: string; json: string };
}

const folder = new URL("../../tests/golden/", import.meta.url);
const content = gunzipSync(readFileSync(new URL("page.bin.gz", folder)));
export const index = JSON.parse(readFileSync(new URL("page.json", folder), "utf8")) as Index;

let read = 0;

function numbers(count: number, next: (at: number) => number): Float32Array {
  const start = read;
  read += 2 * count;
  return Float32Array.from({ length: count }, (_, k) => next(start + 2 * k));
}

function picture(): Float32Array {
  const { mel_bands: bands, columns } = index.features;
  return numbers(bands * columns, (at) => content.readUInt16LE(at) / 65_535);
}

const waves = Object.entries(index.clips).map(([name, count]) => ({
  name,
  wave: numbers(count, (at) => content.readInt16LE(at) / 32_768),
}));
/** Name, samples and image of each clip. */
export const clips = waves.map((clip) => ({ ...clip, image: picture() }));
/** The rolling image of all clips in a row, after each of `index.looks`. */
export const rolled = index.looks.map(picture);
/** The mask for each of `index.patches`. */
export const masks = index.patches.map((patches) => ({ patches, expected: picture() }));

/** The clips one after the other. */
export function inARow(): Float32Array {
  return Float32Array.from(waves.flatMap(({ wave }) => [...wave]));
}

/** Largest difference of two arrays of one length. */
export function difference(found: Float32Array | null, expected: Float32Array): number {
  if (found?.length !== expected.length) throw new Error("the lengths differ");
  return found.reduce((most, value, k) => Math.max(most, Math.abs(value - expected[k])), 0);
}
