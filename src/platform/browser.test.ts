import { afterEach, expect, test, vi } from "vitest";
import { threadCount, writeFileAtomically } from "./browser.ts";

afterEach(() => vi.unstubAllGlobals());

test("saving names what gives the bytes", async () => {
  await expect(async () => writeFileAtomically("a.onnx", [])).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    hint: expect.stringContaining("encodeToBytes(model)"),
  });
});

test.each([
  [true, 8],
  [false, 1],
  [undefined, 1],
] as const)("threads of a page whose isolation is %s: %d", (isolated, threads) => {
  vi.stubGlobal("navigator", { hardwareConcurrency: 8 });
  vi.stubGlobal("crossOriginIsolated", isolated);
  expect(threadCount()).toBe(threads);
});
