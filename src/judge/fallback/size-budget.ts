/** Chooses options of a step for a maximum size: bits of each layer for a file, or settings for a download. */
import {
  bytes as bytesText,
  encodedSize,
  encodedSource,
  integer,
  type PithError,
  throwIfAborted,
  unsupportedError,
} from "#ir";
import { type AnyPass, type Context, type OptionValues, quantizedKind } from "#pass";
import { allocateMeasured, type Item } from "../../core/math/allocate.ts";
import { brotliSize, measureSize } from "../../runtime/run/model-size.ts";
import { optionsForBits, withFastRounding } from "../../techniques/quantize/precision-fallback.ts";
import type { StepOutput } from "../steps/runner.ts";
import { estimateErrors, type LayerTableRequest } from "./layer-table.ts";
import { formatSettings } from "./precise-layers.ts";
import { bytesOfLayers, type FallbackRequest, findCount, setPrecision, settingErrors } from "./precision-fallback.ts";

const bitWidths = [8, 4, 3, 2];
const measuredBits = 4;
/** The file size is known only after writing, so a result that is too large is retried with a smaller budget. */
const maxAttempts = 4;

/** Returns the bits per layer that lose least within `bytes`. @throws PithError E_UNSUPPORTED if even the smallest file is larger, E_STOPPED. */
export async function fitToBytes(
  request: Omit<LayerTableRequest, "requestedOutput">,
  bytes: number,
  context: Context,
): Promise<OptionValues> {
  const { options, original, run } = request;
  const optionsWith = (bits: number): OptionValues => ({ ...options, ...optionsForBits(bits) });
  const outputs = new Map<number, StepOutput>();
  for (const [index, bits] of bitWidths.entries()) {
    // 3 and 2 bits lose more than estimated, and 4 bits with a good rounding method less.
    const measuredOutput = outputs.get(measuredBits);
    if (measuredOutput !== undefined && (await encodedSize(measuredOutput.model)) <= bytes) break;
    throwIfAborted(context.signal, "Stopped while bits were chosen.");
    context.progress(index, bitWidths.length + 1, `${bits} bits`);
    outputs.set(bits, await run(withFastRounding(optionsWith(bits))));
  }
  const [requestedOutput, smallest] = [outputs.get(measuredBits), [...outputs.values()].at(-1)];
  if (requestedOutput === undefined || smallest === undefined) throw new Error("No bits are offered.");
  const layers = requestedOutput.changes.flatMap(({ at, kind }) => (kind === quantizedKind ? [at] : []));
  const measuredRequest = { ...request, options: withFastRounding(optionsWith(measuredBits)), requestedOutput };
  const { rows } = await estimateErrors(measuredRequest, new Set(layers), context);
  const originalBytes = bytesOfLayers(original);
  const forms = Array.from(outputs, ([bits, { model, changes }]) => ({ bits, changes, cost: bytesOfLayers(model) }));
  const items = layers.map(
    (layer): Item<number> => ({
      unchangedCost: originalBytes.get(layer) ?? 0,
      offers: forms.flatMap(({ bits, changes, cost }) => {
        const change = changes.find(({ at, kind }) => kind === quantizedKind && at === layer);
        if (change?.bits !== bits) return [];
        const loss = (rows.get(layer)?.estimate ?? 0) * 4 ** (measuredBits - bits);
        return [{ cost: cost.get(layer) ?? 0, loss, choice: bits }];
      }),
    }),
  );
  const smallestBytes = await encodedSize(smallest.model);
  const bytesOfSmallest = forms.at(-1)?.cost;
  const otherBytes = smallestBytes - layers.reduce((sum, layer) => sum + (bytesOfSmallest?.get(layer) ?? 0), 0);
  const limits = { fixed: otherBytes, attempts: maxAttempts };
  const best = await allocateMeasured(items, bytes, limits, async (takenOffers) => {
    const layerPrecisions = layers.flatMap((layer, index) => {
      const bits = takenOffers[index]?.choice;
      if (items[index]?.offers.length === 0) return [];
      return [{ layer, precision: bits === undefined ? { float: true } : optionsForBits(bits) }];
    });
    const chosen = setPrecision(optionsWith(bitWidths[0] ?? 8), layerPrecisions);
    const fast = withFastRounding(chosen);
    const isFast = fast.rounder === chosen.rounder;
    const cost = await encodedSize((await run(isFast ? chosen : fast)).model);
    return { chosen, cost: cost > bytes || isFast ? cost : await encodedSize((await run(chosen)).model) };
  });
  if (best.cost <= bytes) return best.chosen;
  const minBytes = Math.min(best.cost, smallestBytes);
  const [limitText, minText] =
    bytesText(bytes) === bytesText(minBytes)
      ? [bytes, minBytes].map((count) => `${integer(count)} bytes`)
      : [bytes, minBytes].map(bytesText);
  throw tooLargeError(`No choice of bits fits ${limitText}: the smallest file has ${minText}.`);
}

const tooLargeError = (text: string): PithError =>
  unsupportedError(text, { hint: "Remove channels first: `prune structured`." });

/** Finds the least lossy setting within `bytes` after brotli by bisection: more loss compresses better. @throws PithError E_UNSUPPORTED, E_STOPPED. */
export async function fitToDownload(
  request: Pick<FallbackRequest, "options" | "run"> & { readonly pass: Pick<AnyPass, "downloadSettings"> },
  bytes: number,
  context: Context,
): Promise<OptionValues> {
  const { pass, options, run } = request;
  const settings = (pass.downloadSettings?.(options) ?? []).toReversed();
  const attempts = Math.ceil(Math.log2(settings.length + 1));
  let [smallest, attemptCount] = [Number.POSITIVE_INFINITY, 0];
  const best = await findCount(settingErrors(settings), undefined, attempts, async (count) => {
    const setting = settings[count - 1] ?? {};
    throwIfAborted(context.signal, "Stopped while settings were searched.");
    context.progress(attemptCount++, attempts, formatSettings(setting));
    const changedOptions = { ...options, ...setting };
    const file = await encodedSource((await run(changedOptions)).model);
    const { sampled, ...estimate } = await measureSize([file], context.signal);
    let brotli = estimate.brotli ?? Number.NaN;
    // The sizes of large files are estimates, but the maximum must hold for the whole file.
    if (sampled && brotli <= 1.05 * bytes) brotli = (await brotliSize(file, context.signal)) ?? Number.NaN;
    smallest = Math.min(smallest, brotli);
    return { met: brotli <= bytes ? "clearly" : "no", result: changedOptions };
  });
  if (best?.met === "clearly") return best.result;
  throw tooLargeError(`No setting fits a download of ${bytesText(bytes)}: the smallest has ${bytesText(smallest)}.`);
}
