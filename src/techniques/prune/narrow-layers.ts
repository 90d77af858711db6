/** Warns of layers that an allocation leaves with few channels or weights. */
import { joinList } from "../../core/errors.ts";
import { counted, integer } from "../../core/numbers.ts";
import type { Context } from "../../core/pass/pass.ts";

export interface Remains {
  readonly name: string;
  readonly left: number;
  readonly size: number;
}

/** A layer is narrow if it keeps less than this share of what an even spread of the amount would leave. */
const narrowShare = 1 / 4;
const namesShown = 12;

export function warnOfNarrowLayers(
  layers: readonly Remains[],
  amount: number,
  parts: "channels" | "weights",
  { log }: Pick<Context, "log">,
): void {
  const narrow = layers.filter(({ left, size }) => left < narrowShare * (1 - amount) * size);
  if (narrow.length === 0) return;
  const ascending = narrow.toSorted((a, b) => a.left / a.size - b.left / b.size);
  const named = joinList(
    ascending.map(({ name, left, size }) => `${name} (${integer(left)} of ${integer(size)})`),
    namesShown,
  );
  const text = `${counted(narrow.length, "layer")} ${narrow.length === 1 ? "keeps" : "keep"} few ${parts}: ${named}. Limit the share that a layer loses with \`maxLayerAmount: 0.8\``;
  log({ id: "narrow", text, level: "warning" });
}
