/** Answers the page's calls in a worker. */
import { env } from "onnxruntime-web/wasm";
import type { Reply, Request } from "../backend/messages.ts";
import { createAnswerer } from "./answer.ts";
import { brotliOf } from "./download-sizes.ts";
import { createSession } from "./session.ts";

env.wasm.wasmPaths = new URL(import.meta.env.DEV ? "/ort/" : "../ort/", import.meta.url).href;

// Pages from another machine have no locks without HTTPS.
if ("locks" in navigator)
  navigator.locks.request(self.name, () => {
    self.postMessage({ holdsLock: true } satisfies Reply);
    return new Promise(() => {});
  });

const answer = createAnswerer(
  createSession(async (bytes, signal) => (await brotliOf(bytes, signal)).length),
  (message) => self.postMessage(message),
  "Use `npx --no-install pith studio`, which has more memory.",
);

self.onmessage = ({ data }: MessageEvent<Request>) => answer(data);
