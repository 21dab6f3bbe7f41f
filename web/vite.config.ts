import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const WORKER = "sw.js";

/** Tells the service worker which files the page consists of. */
function filesKept(): Plugin {
  return {
    name: "files-kept",
    enforce: "post",
    generateBundle(_, bundle) {
      const shipped = readdirSync("public");
      const files = Object.keys(bundle).filter((name) => name !== WORKER && name !== "index.html");
      const digest = createHash("sha256");
      for (const name of files.sort()) digest.update(name); // names below assets/ hold a digest of what is in them
      for (const name of ["index.html", ...shipped.map((file) => `public/${file}`)]) digest.update(readFileSync(name));
      const worker = bundle[WORKER];
      if (worker?.type !== "chunk") throw new Error(`the build made no ${WORKER}`);
      const kept = ["", ...files, ...shipped].map((name) => `./${name}`);
      worker.code = `const FILES=${JSON.stringify(kept)},VERSION="${digest.digest("hex").slice(0, 16)}";${worker.code}`;
    },
  };
}

export default defineConfig({
  base: "./", // any folder of any static host
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  plugins: [filesKept()],
  worker: { format: "es" },
  build: {
    outDir: "../src/feltone/doors/page",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0, // the page's rules forbid scripts that are not files
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 20_000,
    rolldownOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: { entryFileNames: ({ name }) => (name === "sw" ? WORKER : "assets/[name]-[hash].js") },
    },
  },
  server: { proxy: { "/model": "http://127.0.0.1:8000", "/clips": "http://127.0.0.1:8000" } }, // feltone serve
});
