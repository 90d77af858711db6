import { type Allocation, type RankedLayer, total } from "./allocation.ts";

/**
 * Erdős–Rényi kernel (Evci et al. 2020, "Rigging the Lottery"): a weight of d₁ × … × dₖ keeps ε · (d₁ + … + dₖ) entries, a
 * density of ε · Σd / Πd. Layers with fewer entries stay dense, and ε is recomputed for the others.
 */
export const erk = {
  id: "erk",
  summary: "Erdős–Rényi kernel: each layer keeps weights in proportion to the sum of its dimensions",
  shares(layers, amount) {
    const whole = new Set<RankedLayer>();
    for (;;) {
      const others = layers.filter((layer) => !whole.has(layer));
      const factor =
        ((1 - amount) * total(layers) - total([...whole])) / others.reduce((sum, { dims }) => sum + added(dims), 0);
      const full = others.filter(({ dims, left }) => factor * added(dims) >= left);
      for (const layer of full) whole.add(layer);
      if (full.length === 0)
        return layers.map((layer) => (whole.has(layer) ? 0 : 1 - (factor * added(layer.dims)) / layer.left));
    }
  },
} satisfies Allocation;

const added = (dims: readonly number[]): number => dims.reduce((sum, dim) => sum + dim, 0);
