/** What was heard, in words and bars; and aloud, at a pace that can be listened to. */

import { element, made, within } from "./elements";
import { tone } from "./palette";
import { SILENCE } from "./timeline";

const PACE_MS = 3_000; // between two announcements while sound goes on
const NOTHING = 0.005; // a share that is shown as 0 %

export class Verdict {
  private readonly panel = element("verdict", HTMLElement);
  private readonly spoken = element("spoken", HTMLParagraphElement);
  private readonly bars: { row: HTMLElement; fill: HTMLElement; value: HTMLElement }[];
  private announced = { label: "", at: -Infinity };

  /** @param unsureBelow highest probability below which an answer is unsure */
  constructor(
    private readonly labels: readonly string[],
    private readonly unsureBelow: number,
  ) {
    this.bars = labels.map((label, index) => {
      const [row, bar, fill, value] = [made("li"), made("span", "bar"), made("span", "fill"), made("span", "value")];
      fill.style.background = `var(${tone(index)})`;
      bar.append(fill);
      row.append(made("span", "name", label), bar, value);
      return { row, fill, value };
    });
    within(this.panel, "ul").replaceChildren(...this.bars.map(({ row }) => row));
  }

  /**
   * Show probabilities, null for silence.
   *
   * @param where what they speak of
   * @param running whether the next ones are already on their way
   */
  show(scores: readonly number[] | null, where: string, running: boolean): void {
    const order = this.labels.map((_, k) => k).sort((a, b) => (scores ? scores[b] - scores[a] : 0));
    const label = scores ? this.labels[order[0]] : SILENCE;
    within(this.panel, ".where").textContent = where;
    const title = within(this.panel, "h2");
    title.textContent = label;
    title.style.setProperty("--tone", `var(${tone(scores ? order[0] : -1)})`);
    within(this.panel, ".sure").textContent = scores ? this.ranked(scores, order) : "There is nothing to recognise.";
    this.bars.forEach(({ row, fill, value }, k) => {
      row.classList.toggle("best", Boolean(scores) && k === order[0]);
      fill.style.transform = `scaleX(${scores?.[k] ?? 0})`;
      value.textContent = scores ? percent(scores[k]) : "–";
    });
    this.announce(label, scores ? `${label}, ${this.doubt(scores[order[0]])}` : SILENCE, running);
  }

  /** What it cost, in words. */
  cost(text: string): void {
    within(this.panel, ".cost").textContent = text;
  }

  private ranked(scores: readonly number[], [first, second]: number[]): string {
    const best = this.doubt(scores[first]);
    return scores[second] < NOTHING ? best : `${best}, then ${this.labels[second]} with ${percent(scores[second])}`;
  }

  /** A share, with a word of doubt where the model has to be surer. */
  private doubt(share: number): string {
    return share < this.unsureBelow ? `unsure, ${percent(share)}` : percent(share);
  }

  private announce(label: string, text: string, running: boolean): void {
    const now = performance.now();
    if (running && (label === this.announced.label || now - this.announced.at < PACE_MS)) return;
    this.announced = { label, at: now };
    this.spoken.textContent = text;
  }
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
