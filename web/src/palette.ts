/** Colours: of the spectrogram, as src/feltone/picture.py has them, and of the classes, from the style sheet. */

// Equal steps of lightness while the hue turns from violet to cream: grey prints and colour-blind eyes see the order.
const ANCHORS = "060023 210041 460059 710265 9a1a66 bf385f db5c59 ed855d f5af78 f8d6a8 fff8e4"
  .split(" ")
  .map((anchor) => [0, 2, 4].map((at) => parseInt(anchor.slice(at, at + 2), 16)));
const STEPS = 256;
const CLASSES = 9; // colours in the style sheet

/** Red, green and blue of `STEPS` values from 0 to 1. */
const TABLE = Uint8Array.from({ length: 3 * STEPS }, (_, k) => {
  const place = (Math.floor(k / 3) / (STEPS - 1)) * (ANCHORS.length - 1);
  const low = Math.min(Math.floor(place), ANCHORS.length - 2);
  return Math.round(ANCHORS[low][k % 3] + (ANCHORS[low + 1][k % 3] - ANCHORS[low][k % 3]) * (place - low));
});

/** One channel, 0 to 2, of the spectrogram's colour for a value in [0, 1]. */
export function channel(value: number, which: number): number {
  return TABLE[3 * Math.round(value * (STEPS - 1)) + which];
}

/** The spectrogram's colour for a value in [0, 1], for style sheets. */
export function spectral(value: number): string {
  return `rgb(${[0, 1, 2].map((which) => channel(value, which)).join(" ")})`;
}

/** Name of the style sheet's colour of a class. */
export function tone(index: number): string {
  return index < 0 ? "--tone-none" : `--tone-${index % CLASSES}`;
}

/** Value of a colour of the style sheet, in the theme of now. */
export function styled(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
