import { expect, test } from "vitest";

import { type Segment, spans, toCsv, toJson, windows } from "../src/timeline";
import { index } from "./golden";

const { name, hop, csv, json } = index.timeline;
const labels = Object.keys(index.timeline.segments[0].scores);
const rows = (given: typeof index.timeline.segments): Segment[] =>
  given.map((row) => ({ ...row, scores: labels.map((label) => row.scores[label]) }));
const segments = rows(index.timeline.segments);

test("CSV and JSON are Python's, to the letter", () => {
  expect(toCsv({ name, hop, labels, segments })).toBe(csv);
  expect(toJson({ name, hop, labels, segments })).toBe(json);
});

test("spans are Python's", () => {
  const found = spans(segments);
  rows(index.timeline.spans).forEach((span, k) => {
    expect({ ...found[k], scores: [] }).toEqual({ ...span, scores: [] });
    span.scores.forEach((score, n) => expect(found[k].scores[n]).toBeCloseTo(score, 12));
  });
  expect(found.length).toBe(index.timeline.spans.length);
});

test.each(Object.entries(index.windows))("%s samples are cut as Python cuts them", (length, expected) => {
  const windowing = { window_seconds: 4, hop_seconds: 1, shortest_window_seconds: 0.5 };
  expect(windows(Number(length), 16_000, windowing)).toEqual(expected);
});

test("nothing has no windows", () => {
  expect(windows(0, 16_000, { window_seconds: 4, hop_seconds: 1, shortest_window_seconds: 0.5 })).toEqual([]);
});
