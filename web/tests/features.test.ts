import { writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";

import { mask } from "../src/attention";
import { FrontEnd } from "../src/features";
import { RollingImage } from "../src/live";
import { clips, difference, inARow, index, masks, rolled } from "./golden";

const TOLERANCE = 1e-4; // of [0, 1]; the golden file itself is rounded by 7.6e-6
const front = new FrontEnd(index.features);
const found: Record<string, number> = {};

test.each(clips)("the image of $name is Python's", ({ name, wave, image }) => {
  found[name] = difference(front.image(wave), image);
  expect(found[name]).toBeLessThan(TOLERANCE);
});

test("the rolling image is Python's", () => {
  const rolling = new RollingImage(front);
  const signal = inARow();
  const differences = [];
  for (let end = index.chunk; end < signal.length; end += index.chunk) {
    rolling.push(signal.subarray(end - index.chunk, end));
    if (index.looks.includes(end)) differences.push(difference(rolling.image(), rolled[differences.length]));
  }
  expect(differences.length).toBe(rolled.length);
  found.rolling = Math.max(...differences);
  expect(found.rolling).toBeLessThan(TOLERANCE);
});

test.each([160, 4_001, 70_000])("the rolling image is the definition's of its window, %i samples at a time", (step) => {
  const rolling = new RollingImage(front);
  const signal = inARow();
  for (let at = 0, turn = 0; at < signal.length; at += step, turn++) {
    rolling.push(signal.subarray(at, at + step));
    if (step > 1_000 || turn % 97 === 0)
      expect(difference(rolling.image(), front.image(rolling.window())!)).toBeLessThan(1e-5);
  }
});

test("level does not matter, digital silence is no image, and what comes after the clip is not heard", () => {
  const { wave, image } = clips[1];
  expect(difference(front.image(wave.map((sample) => sample / 500)), image)).toBeLessThan(TOLERANCE);
  expect(front.image(new Float32Array(9_000))).toBeNull();
  expect(front.image(new Float32Array(0))).toBeNull();
  const long = inARow();
  expect(difference(front.image(long), front.image(long.slice(0, front.clipSamples))!)).toBe(0);
});

test("a transform that is no power of two is refused", () => {
  expect(() => new FrontEnd({ ...index.features, fft_size: 1_000 })).toThrow(/power of two/);
});

test.each(masks)("the mask of $patches patches is Python's", ({ patches, expected }) => {
  const count = 2 * 3 * patches[0] * patches[1];
  const attention = Float32Array.from({ length: count }, (_, n) => 1 + ((7_919 * n) % 97));
  expect(difference(mask(attention, 3, { patches, image: [128, 128] }), expected)).toBeLessThan(2e-5);
});

afterAll(() => {
  const results = new URL("../../results/", import.meta.url);
  if (!process.env.WRITE_RESULTS) return;
  const document = {
    what: "largest difference of the page's image from Python's, values in [0, 1]",
    tolerance: TOLERANCE,
    differences: found,
  };
  writeFileSync(new URL("web_golden.json", results), `${JSON.stringify(document, null, 1)}\n`);
});
