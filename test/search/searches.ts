/** Options and images of searches. */
import { memory } from "../../src/data/index.ts";
import type { Compressed } from "../../src/judge/run/compress.ts";

export const bests: Compressed[] = [];

/** Each test sample as a stored image: its brightness depends on its label. */
export const brightnessOf = (label: number): number => 30 * label;

export const pictures = memory("pictures", {
  image: {
    type: "uint8",
    dims: [800, 8, 8, 3],
    data: Uint8Array.from({ length: 800 * 192 }, (_, index) => brightnessOf(Math.floor(index / 192) % 8)),
  },
});

export const quick = { steps: 12, purpose: "size", rounds: 0, goal: { maxDrop: 0.02 } } as const;
