import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { rateOf } from "../src/decode";
import { FrontEnd } from "../src/features";
import { GATE, INTERVAL_SECONDS, Listener, PATIENCE_SECONDS } from "../src/listener";
import { joined, Resampler, resampled } from "../src/resample";
import { wav } from "../src/wav";
import { index } from "./golden";

const RATE = 16_000;
const tone = (hertz: number, rate: number, seconds: number) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, k) => Math.sin((2 * Math.PI * hertz * k) / rate));
const middle = (samples: Float32Array) => samples.subarray(2_000, samples.length - 2_000);
const level = (samples: Float32Array) =>
  Math.sqrt(samples.reduce((sum, sample) => sum + sample ** 2, 0) / samples.length);

test.each([8_000, 11_025, 22_050, 44_100, 48_000, 96_000])(
  "from %i Hz what both rates can carry stays in place",
  (rate) => {
    for (const hertz of [100, 1_000, Math.min(7_200, 0.45 * rate)]) {
      const found = resampled(tone(hertz, rate, 1), rate, RATE);
      const expected = tone(hertz, RATE, 1);
      expect(found.length).toBe(expected.length);
      const apart = middle(found).map((sample, k) => sample - middle(expected)[k]);
      expect(level(apart)).toBeLessThan(2e-4);
    }
  },
);

test.each([22_050, 44_100, 48_000, 96_000])("from %i Hz what 16 kHz cannot carry dies, by 90 dB", (rate) => {
  for (const hertz of [8_050, 9_000, 10_900])
    expect(level(middle(resampled(tone(hertz, rate, 1), rate, RATE)))).toBeLessThan(3e-5);
});

test("however a signal is cut, its resampling is the same", () => {
  const signal = tone(440, 44_100, 0.7);
  const resampler = new Resampler(44_100, RATE);
  const pieces = [];
  for (let at = 0, size = 1; at < signal.length; at += size, size = (size * 7) % 1_013)
    pieces.push(resampler.push(signal.slice(at, at + size)));
  expect(joined([...pieces, resampler.end()])).toEqual(resampled(signal, 44_100, RATE));
});

test("a file's own rate is read from its header", async () => {
  const spoken = new DataView(await wav(tone(440, 22_050, 0.1), 22_050).arrayBuffer());
  expect(rateOf(spoken)).toBe(22_050);
  const clip = readFileSync(new URL("../../src/feltone/clips/anger.flac", import.meta.url));
  expect(rateOf(new DataView(clip.buffer, clip.byteOffset, clip.byteLength))).toBe(16_000);
  const header = (bytes: number[]) => new DataView(Uint8Array.from(bytes).buffer);
  expect(rateOf(header([0xff, 0xfb, 0x90, 0x64]))).toBe(44_100); // mp3, MPEG 1
  expect(rateOf(header([0xff, 0xf3, 0x48, 0xc4]))).toBe(16_000); // mp3, MPEG 2, third rate
  expect(rateOf(header([0x52, 0x49, 0x46, 0x46]))).toBeUndefined(); // a wav that ends at once
  expect(rateOf(header([1, 2, 3, 4, 5, 6, 7, 8]))).toBeUndefined();
});

test("a wav keeps the samples", async () => {
  const bytes = new DataView(await wav(Float32Array.of(0, 0.5, -1, 2), RATE).arrayBuffer());
  expect([0, 1, 2, 3].map((k) => bytes.getInt16(44 + 2 * k, true))).toEqual([0, 16_383, -32_767, 32_767]);
});

test("a listener answers every quarter of a second, and says silence a second after the last sound", () => {
  const listener = new Listener(new FrontEnd(index.features), RATE);
  const hear = (amplitude: number, seconds: number) => {
    const found = [];
    const signal = tone(300, RATE, seconds).map((sample) => amplitude * sample);
    for (let at = 0; at < signal.length; at += 1_000) {
      listener.hear(signal.slice(at, at + 1_000));
      if (listener.due) found.push(listener.look());
    }
    return found;
  };
  const quiet = 0.5 * GATE * Math.SQRT2;
  expect(hear(quiet, 2).map(({ image }) => image)).toEqual(Array(8).fill(null));
  expect(hear(0.1, 1).every(({ image }) => image)).toBe(true);
  const after = hear(quiet, 2);
  expect(after.findIndex(({ image }) => !image)).toBe(PATIENCE_SECONDS / INTERVAL_SECONDS - 1);
  expect(after.at(-1)).toMatchObject({ start: 1, end: 5 });
});
