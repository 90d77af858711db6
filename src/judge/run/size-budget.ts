/**
 * Chooses bits per layer for a file size. The error share of each layer is measured at 4 bits. Each further bit is assumed to divide it by four (6
 * dB).
 */
import { PithError, throwIfAborted } from "../../core/errors.ts";
import { allocate, type Item } from "../../core/math/allocate.ts";
import { bytes as bytesText } from "../../core/numbers.ts";
import { encodedSize } from "../../core/onnx/encode.ts";
import type { Context, OptionValues } from "../../core/pass/pass.ts";
import { type ErrorsRequest, errorSharesOf } from "./layer-shares.ts";
import { applyForms, bytesOfLayers, type StepOutput } from "./sparing.ts";

/**
 * Returns the options for a bit width: integers for 8 and 4 bits, in standard ONNX operators because convolutions support 4 bits only there; palettes
 * for other widths.
 */
export const optionsForBits = (bits: number): OptionValues =>
  bits === 8 ? { bits } : bits === 4 ? { bits, onnxOnly: true } : { bits, weights: "palette" };
/** Bit widths to choose from: integers (8, 4) and palettes (3, 2). */
const offered = [8, 4, 3, 2];
const measured = 4;
/** Maximum number of attempts. The file size is known only after writing, so a result that is too large is retried with a smaller budget. */
const mostAttempts = 4;

/**
 * @param bytes maximum of the file.
 * @throws PithError E_UNSUPPORTED with the minimum if it is higher; E_STOPPED on the context's signal, and whatever the pass throws.
 */
export async function fitToBytes(
  request: Omit<ErrorsRequest, "plain">,
  bytes: number,
  context: Context,
): Promise<{ readonly made: StepOutput; readonly options: OptionValues }> {
  const { options, original, run } = request;
  const outputs = new Map<number, StepOutput>();
  for (const [at, bits] of offered.entries()) {
    // If all layers fit with the measured 4 bits, 3 and 2 bits are not tried: they lose more than their estimates, and 4 bits with a good rounding
    // method lose less.
    const measuredOutput = outputs.get(measured);
    if (measuredOutput !== undefined && (await encodedSize(measuredOutput.model)) <= bytes) break;
    throwIfAborted(context.signal, "Stopped while bits were chosen.");
    context.progress(at, offered.length + 1, `${bits} bits`);
    const form = optionsForBits(bits);
    // Attempts use the fastest rounding method, which changes neither sizes nor, much, the order of errors. Only the result uses the requested
    // method. Palettes have no rounding method.
    const rounder = form.weights === undefined ? "nearest" : undefined;
    outputs.set(bits, await run({ ...options, ...form, rounder }));
  }
  const [middle, last] = [outputs.get(measured), [...outputs.values()].at(-1)];
  if (middle === undefined || last === undefined) throw new Error("No bits are offered.");
  const layers = middle.changes.flatMap(({ at, kind }) => (kind === "quantized" ? [at] : []));
  const { estimates } = await errorSharesOf(
    { ...request, options: { ...options, ...optionsForBits(measured), rounder: "nearest" }, plain: middle },
    new Set(layers),
    context,
  );
  const stored = new Map([...outputs].map(([bits, { model }]) => [bits, bytesOfLayers(model)]));
  const before = bytesOfLayers(original);
  const items = layers.map(
    (layer): Item<{ readonly layer: string; readonly bits: number }> => ({
      whole: before.get(layer) ?? 0,
      offers: [...outputs].flatMap(([bits, { changes }]) => {
        const change = changes.find(({ at, kind }) => kind === "quantized" && at === layer);
        if (change?.bits !== bits) return [];
        const loss = (estimates.get(layer) ?? 0) * 4 ** (measured - bits);
        return [{ cost: stored.get(bits)?.get(layer) ?? 0, loss, choice: { layer, bits } }];
      }),
    }),
  );
  const ofLast = bytesOfLayers(last.model);
  const rest = (await encodedSize(last.model)) - layers.reduce((sum, layer) => sum + (ofLast.get(layer) ?? 0), 0);
  let budget = bytes;
  let minBytes = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const { taken } = allocate(items, budget, rest);
    const forms = items.flatMap(({ offers }, at) => {
      const layer = offers[0]?.choice.layer;
      const choice = taken[at]?.choice;
      if (layer === undefined) return [];
      return [{ layer, form: choice === undefined ? { float: true } : optionsForBits(choice.bits) }];
    });
    const chosen = applyForms({ ...options, ...optionsForBits(offered[0] ?? 8) }, forms);
    let size = await encodedSize((await run({ ...chosen, rounder: "nearest" })).model);
    if (size <= bytes) {
      const result = await run(chosen);
      size = await encodedSize(result.model);
      if (size <= bytes) return { made: result, options: chosen };
    }
    minBytes = Math.min(minBytes, size);
    budget -= size - bytes;
  }
  const smallest = Math.min(minBytes, await encodedSize(last.model));
  throw new PithError(
    "E_UNSUPPORTED",
    `No choice of bits fits ${bytesText(bytes)}: the smallest file has ${bytesText(smallest)}.`,
    {
      hint: "Remove channels first: pith prune --structured.",
    },
  );
}
