import { PithError } from "../../../core/errors.ts";
import { type Allocation, total } from "./allocation.ts";

const mostOfLast = 0.8;

/**
 * The same share of every layer, except none of the first and at most 80 % of the last (Gale, Elsen and Hooker 2019, "The State
 * of Sparsity in Deep Neural Networks"); other layers lose more instead.
 */
export const uniformPlus = {
  id: "uniform+",
  summary: "the same share of every layer, except none of the first and at most 80 % of the last",
  shares(layers, amount) {
    const sizeOf = (...places: readonly ("first" | "last" | undefined)[]): number =>
      total(layers.filter(({ place }) => places.includes(place)));
    const all = amount * total(layers);
    const even = all / sizeOf("last", undefined);
    const share = even > mostOfLast ? (all - mostOfLast * sizeOf("last")) / sizeOf(undefined) : even;
    if (amount > 0 && !(share <= 1)) {
      const most = (sizeOf(undefined) + mostOfLast * sizeOf("last")) / total(layers);
      throw new PithError(
        "E_OPTION",
        `\`amount\`: "uniform+" keeps the first layer and a fifth of the last: expected at most ${Math.floor(1000 * most) / 1000}, got ${amount}.`,
      );
    }
    return layers.map(({ place }) => (place === "first" ? 0 : place === "last" ? Math.min(share, mostOfLast) : share));
  },
} satisfies Allocation;
