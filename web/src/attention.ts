/** Where the network looked: the twin of src/feltone/attention.py, which says what is decided and why. */

const SMOOTHING_COLUMNS = 2; // standard deviation of the Gaussian, in pixels of the image
const REACH = 4 * SMOOTHING_COLUMNS; // where it is cut off

/** Sizes as model.json has them: rows and columns of patches, and of pixels. */
export interface Shape {
  patches: [number, number];
  image: [number, number];
}

/**
 * Attention over every pixel of the image, 1 where it is strongest.
 *
 * @param attention the class token's, (depth, heads, patches) of one clip
 * @param heads how many there are in a block; the last block counts, and the mean of its heads
 */
export function mask(attention: Float32Array, heads: number, { patches, image }: Shape): Float32Array {
  const count = patches[0] * patches[1];
  const last = attention.subarray(attention.length - heads * count);
  const tiles = Float64Array.from({ length: count }, (_, k) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) sum += last[head * count + k];
    return sum;
  });
  const [height, width] = [image[0] / patches[0], image[1] / patches[1]];
  const tile = (row: number, column: number) =>
    tiles[Math.floor(row / height) * patches[1] + Math.floor(column / width)];
  const pixels = Float64Array.from({ length: image[0] * image[1] }, (_, k) =>
    tile(Math.floor(k / image[1]), k % image[1]),
  );
  // Along mel a vertical slice is constant, and stays so.
  const spread = patches[0] > 1 ? smoothed(pixels, image, "rows") : pixels;
  const smooth = smoothed(spread, image, "columns");
  const most = smooth.reduce((a, b) => Math.max(a, b), 0);
  return Float32Array.from(smooth, (value) => value / most);
}

/** Share of a mask's maximum that each column has, for a curve over time. */
export function overTime(mask: Float32Array, columns: number): Float32Array {
  const sums = new Float32Array(columns);
  mask.forEach((value, k) => (sums[k % columns] += value));
  const most = sums.reduce((a, b) => Math.max(a, b), 0);
  return sums.map((sum) => sum / most);
}

function smoothed(pixels: Float64Array, [rows, columns]: [number, number], along: "rows" | "columns"): Float64Array {
  const weights = Float64Array.from({ length: 2 * REACH + 1 }, (_, k) =>
    Math.exp(-0.5 * ((k - REACH) / SMOOTHING_COLUMNS) ** 2),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const [size, step] = along === "columns" ? [columns, 1] : [rows, columns];
  return pixels.map((_, at) => {
    const place = Math.floor(at / step) % size;
    let sum = 0;
    for (let k = -REACH; k <= REACH; k++)
      sum += weights[k + REACH] * pixels[at + (mirrored(place + k, size) - place) * step];
    return sum / total;
  });
}

/** The index that a place beyond a border shows, the border pixel twice. */
function mirrored(place: number, size: number): number {
  const turn = ((place % (2 * size)) + 2 * size) % (2 * size);
  return turn < size ? turn : 2 * size - 1 - turn;
}
