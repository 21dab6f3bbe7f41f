/** The page: what its controls do, and what is shown of what the worker hears. */

import { decode } from "./decode";
import { element, within } from "./elements";
import { Engine } from "./engine";
import { showExamples } from "./examples";
import { Fault, told } from "./faults";
import { receive } from "./inbox";
import { Microphone } from "./microphone";
import type { ModelRecord } from "./model";
import { Player } from "./player";
import type { LiveView, Recording, Requests, View } from "./protocol";
import { Scene } from "./scene";
import { drawSlices } from "./slices";
import { themed } from "./theme";
import { border, type Segment, SILENCE, toCsv, toJson, windows } from "./timeline";
import { Verdict } from "./verdict";
import { wav } from "./wav";

type State = "loading" | "ready" | "busy" | "live" | "heard";

const LONGEST_SPEECH_SECONDS = 600; // of one turn at the microphone

const [speak, choose, play] = ["speak", "choose", "play"].map((id) => element(id, HTMLButtonElement));
const file = element("file", HTMLInputElement);
const status = element("status", HTMLParagraphElement);
const fault = element("fault", HTMLDivElement);
const slices = element("slices", HTMLCanvasElement);
const help = element("help", HTMLDialogElement);

let model: ModelRecord;
let scene: Scene;
let verdict: Verdict;
let microphone: Microphone | null = null;
let spoken = 0; // turns at the microphone so far
let name = ""; // of the recording, without its suffix
let heard: Recording | null = null;
let segments: Segment[] = [];
let shown = -1; // number of the window that is shown, or about to be
let turn = 0; // grows with every recording, so that what comes late for an older one is left

const engine = new Engine(
  (share) => (status.textContent = `Fetching the model: ${Math.round(100 * share)} %`),
  showLive,
);
const player = new Player(follow, (playing) => {
  play.setAttribute("aria-label", playing ? "Pause" : "Play");
  play.classList.toggle("playing", playing);
});

function become(state: State): void {
  document.body.dataset.state = state;
  const live = state === "live";
  within(speak, ".word").textContent = live ? "Stop" : "Speak";
  speak.disabled = state === "loading" || state === "busy";
  choose.disabled = speak.disabled || live;
}

/** Do something that may fail in ways a user can mend. */
async function attempt(work: () => Promise<void>): Promise<void> {
  fault.hidden = true;
  await work().catch(report);
}

function report(thrown: unknown): void {
  within(fault, "p").textContent = told(thrown);
  fault.hidden = false;
  status.textContent = "";
  become(model ? (heard ? "heard" : "ready") : "loading");
  if (!(thrown instanceof Fault)) throw thrown; // for the browser's console
}

async function open(): Promise<void> {
  const threads = Number(new URLSearchParams(location.search).get("threads")) || null; // for benchmarks/browser.py
  model = await engine.ask("open", { folder: new URL("model/", document.baseURI).href, threads });
  verdict = new Verdict(model.labels, model.unsure_below);
  scene = new Scene(
    model,
    (seconds) => player.seek(seconds),
    (index) => player.seek(border(segments, index)),
  );
  status.textContent = "";
  const origin = model.source ? `, trained on ${model.source}${model.licence ? ` (${model.licence})` : ""}` : "";
  element("model", HTMLParagraphElement).textContent =
    `Model ${model.name} in ${model.precision}${origin}. Feltone ${model.version}.`;
  element("card", HTMLPreElement).textContent = model.model_card ?? `${model.name}: this model came without a card.`;
  become("ready");
  await showExamples(within(element("examples", HTMLElement), "ul"), (fetched) => void take(fetched));
  // Absent where the page is not secure, refused in some private windows: the page then needs a network every time.
  if (import.meta.env.PROD) await navigator.serviceWorker?.register("sw.js").catch(() => undefined);
}

/** Take a file as the recording. */
async function take(given: File | (() => Promise<File>)): Promise<void> {
  if (["loading", "busy"].includes(document.body.dataset.state!)) return;
  await attempt(async () => {
    if (microphone) await silence();
    become("busy");
    status.textContent = "Opening the recording";
    const chosen = given instanceof File ? given : await given();
    const { channels, rate } = await decode(chosen, chosen.name);
    const recording = await engine.ask(
      "hear",
      { channels, rate },
      channels.map((channel) => channel.buffer),
    );
    await show(recording, chosen, chosen.name.replace(/\.[^.]+$/, ""));
  });
}

/** Show a recording, window by window as they are recognised. */
async function show(recording: Recording, sound: Blob, called: string): Promise<void> {
  const mine = ++turn;
  [heard, name, segments, shown] = [recording, called, [], -1];
  const cuts = windows(recording.length, model.features.sample_rate, model.windowing);
  player.load(sound);
  become("heard");
  scene.begin(recording, cuts.length);
  for (const [start, end] of cuts) {
    const view = await engine.look(start, end);
    if (mine !== turn) return;
    segments.push(segment(view, view.start));
    scene.recognised(segments);
    if (segments.length === 1) showView(view, 0);
    status.textContent = segments.length < cuts.length ? `Window ${segments.length} of ${cuts.length}` : "";
  }
  if (segments.every(({ label }) => label === SILENCE)) {
    throw new Fault(`${called} is silent, there is nothing to recognise: choose another recording.`);
  }
}

function segment({ end, scores }: View, start: number): Segment {
  if (!scores) return { start, end, label: SILENCE, scores: model.labels.map(() => 0), unsure: false };
  const highest = Math.max(...scores);
  return { start, end, label: model.labels[scores.indexOf(highest)], scores, unsure: highest < model.unsure_below };
}

/** Move to a time of the recording, and show the window it belongs to. */
function follow(seconds: number): void {
  if (!heard) return;
  const index = Math.max(
    0,
    segments.findLastIndex((_, k) => border(segments, k) <= seconds),
  );
  if (segments.length && index !== shown) void look(index).catch(report);
  scene.point(seconds);
  element("clock", HTMLParagraphElement).textContent = `${seconds.toFixed(1)} / ${heard.seconds.toFixed(1)} s`;
}

async function look(index: number): Promise<void> {
  const mine = turn;
  shown = index;
  const view = await engine.look(segments[index].start, segments[index].end);
  if (mine === turn && shown === index) showView(view, index);
}

function showView(view: View, index: number): void {
  shown = index;
  scene.mark(segments, index);
  scene.show(view, segments[index].label);
  follow(player.seconds);
  verdict.show(view.scores, `${name}, ${view.start.toFixed(1)}–${view.end.toFixed(1)} s`, player.playing);
  verdict.cost(`Computed in this tab in ${Math.round(view.cost.features + view.cost.network)} ms.`);
}

/** Listen to the microphone until `silence`. */
async function listen(): Promise<void> {
  const opened = await Microphone.open();
  await engine.ask("listen", { rate: opened.rate });
  turn++;
  [microphone, heard, segments] = [opened, null, []];
  player.load(null);
  scene.listen(LONGEST_SPEECH_SECONDS);
  become("live");
  status.textContent = "Listening";
  opened.start(
    (sound) => engine.sound(sound),
    () => void attempt(stop),
  );
}

function showLive(view: LiveView): void {
  if (!microphone) return;
  segments.push(segment(view, segments.at(-1)?.end ?? 0));
  scene.hear(view, segments);
  const { features, network } = view.cost;
  verdict.show(view.scores, view.scores ? `the last ${(view.end - view.start).toFixed(1)} s` : "just now", true);
  verdict.cost(view.scores ? `Computed in this tab in ${Math.round(features + network)} ms, four times a second.` : "");
  speak.style.setProperty("--level", String(Math.min(1, 6 * view.level)));
  if (view.end >= LONGEST_SPEECH_SECONDS) void attempt(stop);
}

/** Stop listening; what was spoken is the recording now. */
async function stop(): Promise<void> {
  const { recording, samples } = await silence();
  if (!recording.length)
    throw new Fault("Nothing came from the microphone: check that it is switched on, then speak again.");
  await show(recording, wav(samples, model.features.sample_rate), `spoken-${++spoken}`);
}

/** Let go of the microphone. */
async function silence(): Promise<Requests["stop"]["answer"]> {
  const open = microphone;
  microphone = null;
  await open?.close();
  return engine.ask("stop", null);
}

function save(text: string, suffix: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${name}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // once the browser has surely read it
}

function timeline() {
  return { name, hop: model.windowing.hop_seconds, labels: model.labels, segments };
}

speak.onclick = () => void attempt(microphone ? stop : listen);
choose.onclick = () => file.click();
file.onchange = () => {
  const [chosen] = file.files ?? [];
  if (chosen) void take(chosen);
  file.value = ""; // so that the same file can be chosen again
};
play.onclick = () => void attempt(() => player.toggle());
element("csv", HTMLButtonElement).onclick = () => save(toCsv(timeline()), "csv", "text/csv");
element("json", HTMLButtonElement).onclick = () => save(toJson(timeline()), "json", "application/json");
element("about", HTMLButtonElement).onclick = () => help.showModal();
within(fault, "button").onclick = () => (fault.hidden = true);
receive(element("drop", HTMLDivElement), (dropped) => void take(dropped));
themed(element("theme", HTMLButtonElement), () => scene?.redraw());
new ResizeObserver(() => drawSlices(slices)).observe(slices);
void attempt(open);
