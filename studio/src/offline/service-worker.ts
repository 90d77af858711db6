/**
 * Answers requests for the page's files from a cache, so that the page works offline. Adds the headers that threads require, because some static
 * hosts cannot send them. A new version waits until no tab shows the old one.
 */

/** Paths of the page's files relative to the page, "" for the page itself. Defined by the build. */
declare const pageFiles: readonly string[];
/** Large files that the first view does not need. */
declare const largeFiles: readonly string[];
declare const version: string;

interface LifetimeEvent {
  waitUntil(work: Promise<unknown>): void;
}
interface RequestEvent extends LifetimeEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
/** Names what this file uses, because the types of the page and of service workers contradict each other. */
declare const self: {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  addEventListener(type: "install" | "activate" | "message", listener: (event: LifetimeEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: RequestEvent) => void): void;
};

const { scope } = self.registration;
/** Other copies of the page can have caches in the same origin. */
const cachePrefix = `pith-studio ${scope} `;
const cacheName = cachePrefix + version;
const knownFiles = new Set([...pageFiles, ...largeFiles]);

self.addEventListener("install", (event) => event.waitUntil(storeFiles(pageFiles)));
self.addEventListener("activate", (event) => event.waitUntil(replaceVersion()));
// The page sends one message, when it has loaded.
self.addEventListener("message", (event) => event.waitUntil(storeFiles(largeFiles)));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const [address = ""] = url.split(/[?#]/);
  const path = address.slice(scope.length).replace(/^index\.html$/, "");
  if (method === "GET" && address.startsWith(scope) && knownFiles.has(path)) event.respondWith(answer(path, event));
});

async function storeFiles(paths: readonly string[]): Promise<void> {
  const cache = await caches.open(cacheName);
  await Promise.all(
    paths.map(async (path) => {
      const request = requestOf(path);
      if ((await cache.match(request)) === undefined) await cache.add(request);
    }),
  );
}

/** The browser's own cache can contain a file of an earlier version. */
const requestOf = (path: string): Request => new Request(scope + path, { cache: "no-cache" });

async function replaceVersion(): Promise<void> {
  for (const name of await caches.keys())
    if (name.startsWith(cachePrefix) && name !== cacheName) await caches.delete(name);
  await self.clients.claim();
}

async function answer(path: string, event: RequestEvent): Promise<Response> {
  const cache = await caches.open(cacheName);
  const request = requestOf(path);
  const stored = await cache.match(request);
  if (stored !== undefined) return isolate(stored);
  const response = await fetch(request);
  // Without space, the page still works online.
  if (response.ok) event.waitUntil(cache.put(request, response.clone()).catch(() => {}));
  return isolate(response);
}

/** Adds the headers with which a page can share memory between threads. */
function isolate({ body, status, statusText, headers: sentHeaders }: Response): Response {
  const headers = new Headers(sentHeaders);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(body, { status, statusText, headers });
}

// Makes this file a module, so that its `self` differs from the page's.
export {};
