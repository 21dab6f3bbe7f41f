/** The drawings of the page, their cursors, and what a pointer or a key does to them. */

import { element, within } from "./elements";
import type { ModelRecord } from "./model";
import * as picture from "./picture";
import { ENVELOPE_SECONDS, type LiveView, type Recording, type View } from "./protocol";
import * as ribbon from "./ribbon";
import { type Segment, SILENCE } from "./timeline";

const LIVE_SECONDS = 30; // shown over time while somebody speaks

export class Scene {
  private readonly canvas = element("picture", HTMLCanvasElement);
  private readonly ribbon = element("ribbon", HTMLCanvasElement);
  private readonly range = element("window", HTMLInputElement);
  private readonly panel = element("timeline", HTMLElement);
  private readonly cursors = [this.canvas, this.ribbon].map((canvas) => within(canvas.parentElement!, ".cursor"));
  private envelope: Float32Array = new Float32Array(0); // of all that is or was heard
  private live = false;
  private window: picture.Window | null = null;
  private track: ribbon.Track | null = null;

  /**
   * @param seek told the time a pointer points at, in seconds
   * @param select told the number of the window that a key has gone to
   */
  constructor(
    private readonly model: ModelRecord,
    seek: (seconds: number) => void,
    select: (index: number) => void,
  ) {
    this.range.oninput = () => select(Number(this.range.value));
    const { left, right } = picture.MARGIN;
    pointed(this.canvas, (x, width) => {
      const share = Math.min(1, Math.max(0, (x - left) / (width - left - right)));
      if (this.window && !this.live) seek(this.window.start + share * this.model.features.clip_seconds);
    });
    pointed(this.ribbon, (x, width) => {
      if (this.track && !this.live) seek((x / width) * this.track.seconds);
    });
    const observer = new ResizeObserver(() => this.redraw());
    for (const canvas of [this.canvas, this.ribbon]) observer.observe(canvas);
  }

  /** Make room for a recording of some windows. */
  begin({ envelope, seconds }: Recording, count: number): void {
    [this.envelope, this.live] = [envelope, false];
    this.window = null;
    this.track = { seconds, start: 0, labels: this.model.labels, segments: [], selected: null, envelope };
    this.panel.hidden = count < 2;
    this.range.disabled = false;
    this.range.max = String(count - 1);
  }

  /** Make room for at most some seconds of live sound. */
  listen(seconds: number): void {
    [this.envelope, this.live] = [new Float32Array((2 * seconds) / ENVELOPE_SECONDS), true];
    this.window = this.track = null;
    this.panel.hidden = false;
    this.range.disabled = true;
    for (const canvas of [this.canvas, this.ribbon]) canvas.width = 0; // empty
    for (const cursor of this.cursors) cursor.hidden = true;
  }

  /** Show what was heard live, and over the last seconds. */
  hear(view: LiveView, segments: readonly Segment[]): void {
    const at = 2 * Math.round(view.start / ENVELOPE_SECONDS);
    this.envelope.set(view.envelope.subarray(0, this.envelope.length - at), at);
    const start = Math.max(0, view.end - LIVE_SECONDS);
    const some = segments.filter(({ end }) => end > start);
    this.track = {
      seconds: LIVE_SECONDS,
      start,
      labels: this.model.labels,
      segments: some,
      selected: null,
      envelope: this.envelope,
    };
    this.show(view, "live");
  }

  /** Show a window of the recording. */
  show(view: View, label: string): void {
    this.window = { ...view, envelope: this.envelope };
    this.canvas.setAttribute(
      "aria-label",
      `Sound and spectrogram from ${view.start.toFixed(1)} to ${view.end.toFixed(1)} s: ${label}`,
    );
    this.redraw();
  }

  /** Show the windows that were recognised so far. */
  recognised(segments: readonly Segment[]): void {
    if (this.track) this.track.segments = segments;
    this.drawTrack();
  }

  /** Mark a window in the track. */
  mark(segments: readonly Segment[], index: number): void {
    const { start, end, label, scores } = segments[index];
    if (this.track) this.track.selected = segments[index];
    this.range.value = String(index);
    const sure = label === SILENCE ? "" : ` ${Math.round(100 * Math.max(...scores))} %`;
    this.range.setAttribute("aria-valuetext", `${start.toFixed(1)} to ${end.toFixed(1)} s: ${label}${sure}`);
  }

  /** Move the cursors to a time of the recording. */
  point(seconds: number): void {
    const { left, right } = picture.MARGIN;
    const width = this.canvas.clientWidth - left - right;
    const inWindow = this.window ? (seconds - this.window.start) / this.model.features.clip_seconds : -1;
    const inTrack = this.track ? seconds / this.track.seconds : -1;
    place(this.cursors[0], inWindow, left + inWindow * width);
    place(this.cursors[1], inTrack, inTrack * this.ribbon.clientWidth);
  }

  /** Draw again what is shown: the page has another size or other colours. */
  redraw(): void {
    // What is hidden has no size, and is drawn when it gets one.
    if (this.window && this.canvas.clientWidth) picture.draw(this.canvas, this.window, this.model.features);
    this.drawTrack();
  }

  private drawTrack(): void {
    if (this.track && this.ribbon.clientWidth) ribbon.draw(this.ribbon, this.track);
  }
}

function place(cursor: HTMLElement, share: number, x: number): void {
  cursor.hidden = share < 0 || share > 1;
  cursor.style.transform = `translateX(${x}px)`;
}

/** Tell where a pointer that is pressed points, from the element's left border. */
function pointed(element: HTMLElement, told: (x: number, width: number) => void): void {
  const tell = (event: PointerEvent) => event.buttons & 1 && told(event.offsetX, element.clientWidth);
  element.onpointerdown = tell;
  element.onpointermove = tell;
}
