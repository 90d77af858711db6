/** Chooses the setting of a step that loses least among those whose compressed file is small enough. */
import { PithError, stopIfAsked } from "../errors.ts";
import { bytes as bytesText } from "../evaluate/numbers.ts";
import { brotliSize, size } from "../evaluate/size.ts";
import { encodedSource } from "../onnx/index.ts";
import type { AnyPass, Context, OptionValues } from "../passes/index.ts";
import { type SparingRequest, type StepOutput, settingsText } from "./sparing.ts";

/**
 * Bisects the settings, whose compressed size falls with their loss.
 * @param bytes maximum of the compressed file (brotli).
 * @throws PithError E_UNSUPPORTED with the minimum if it is higher; E_STOPPED on the signal.
 */
export async function withinDownload(
  { pass, options, run }: Pick<SparingRequest, "options" | "run"> & { readonly pass: Pick<AnyPass, "milderSettings"> },
  bytes: number,
  { progress, signal }: Context,
): Promise<{ readonly made: StepOutput; readonly options: OptionValues }> {
  const settings = (pass.milderSettings?.(options, true) ?? []).toReversed();
  let found: { readonly made: StepOutput; readonly options: OptionValues } | undefined;
  let smallest = Number.POSITIVE_INFINITY;
  let attempts = 0;
  for (let [low, high] = [0, settings.length]; low < high; ) {
    const middle = Math.floor((low + high) / 2);
    const own = settings[middle] ?? {};
    stopIfAsked(signal, "Stopped while the size was searched.");
    progress(attempts++, Math.ceil(Math.log2(settings.length + 1)), settingsText(own));
    const changed = { ...options, ...own };
    const made = await run(changed);
    const file = await encodedSource(made.model);
    const { sampled, ...estimate } = await size(file);
    let brotli = estimate.brotli ?? Number.NaN;
    // The size of a large file is an estimate, and the goal is a maximum.
    if (sampled === true && brotli <= bytes) brotli = (await brotliSize(file)) ?? Number.NaN;
    smallest = Math.min(smallest, brotli);
    if (brotli <= bytes) {
      found = { made, options: changed };
      high = middle;
    } else low = middle + 1;
  }
  if (found !== undefined) return found;
  throw new PithError(
    "E_UNSUPPORTED",
    `No setting fits a download of ${bytesText(bytes)}: the smallest has ${bytesText(smallest)}.`,
    { hint: "Remove channels first: pith prune --structured." },
  );
}
