/** Keeps the page's own files, so that after the first visit it opens without a network. */

const worker = self as unknown as ServiceWorkerGlobalScope;
/** The page's files and a digest of them; vite.config.ts fills them in. */
declare const FILES: string[];
declare const VERSION: string;

const BESIDE = ["model/model.json", "clips/clips.json"]; // they change without the page

async function keep(): Promise<void> {
  const cache = await caches.open(VERSION);
  await cache.addAll([...FILES, BESIDE[0]]);
  const { file, sha256 } = (await (await cache.match(BESIDE[0]))!.json()) as { file: string; sha256: string };
  await cache.add(`model/${file}?sha256=${sha256}`);
  const examples = await fetch(BESIDE[1]);
  if (!examples.ok) return;
  await cache.put(BESIDE[1], examples.clone());
  const { clips } = (await examples.json()) as { clips: { file: string }[] };
  await cache.addAll(clips.map((clip) => `clips/${clip.file}`));
}

async function forget(): Promise<void> {
  const others = (await caches.keys()).filter((key) => key !== VERSION);
  await Promise.all(others.map((key) => caches.delete(key)));
  await worker.clients.claim();
}

/** What never changes under its name comes from the cache, the rest from the network while there is one. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(VERSION);
  const kept = await cache.match(request);
  if (kept && /\/assets\/|\?sha256=/.test(request.url)) return kept;
  try {
    const fresh = await fetch(request);
    if (fresh.status === 200) await cache.put(request, fresh.clone());
    return fresh;
  } catch (offline) {
    if (kept) return kept;
    throw offline;
  }
}

worker.addEventListener("install", (event) => event.waitUntil(keep().then(() => worker.skipWaiting())));
worker.addEventListener("activate", (event) => event.waitUntil(forget()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const path = request.url.startsWith(worker.registration.scope)
    ? request.url.slice(worker.registration.scope.length)
    : null;
  // Only what belongs to the page: a service may answer other things below the same address.
  const ours = path !== null && (FILES.includes(`./${path}`) || /^(model|clips)\//.test(path));
  if (request.method === "GET" && ours) event.respondWith(answer(request));
});
