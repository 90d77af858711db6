/** The flag `--target-download`: a size after brotli, for which a pass chooses its options. */
import { PithError, usageError } from "#ir";
import type { AnyPass, OptionValues } from "#pass";
import type { JobContext } from "../../../runtime/job/job.ts";
import { flagName } from "./flag-names.ts";

/** Adds the options that a download size requires. @throws PithError E_USAGE if an option is set that the size determines; E_OPTION. */
export function withDownloadOptions(
  { downloadSettings }: AnyPass,
  passOptions: OptionValues,
  targetDownload: string | undefined,
  log: JobContext["log"],
): OptionValues {
  if (targetDownload === undefined || downloadSettings === undefined) return passOptions;
  const settings = nameDownloadFlag(() => downloadSettings(passOptions));
  const requiredOptions: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(settings[0] ?? {})) {
    if (settings.every((other) => other[key] === value)) requiredOptions[key] = value;
    else if (passOptions[key] !== undefined)
      throw usageError(`--target-download chooses the ${key}, and ${flagName(key)} gives one.`, {
        hint: "Give one: the size after brotli, or the error.",
      });
  }
  for (const [key, value] of Object.entries(requiredOptions))
    if (passOptions[key] === undefined)
      log({ id: key, text: `--target-download uses ${flagName(key)} ${value} (docs/download.md)` });
  return { ...passOptions, ...requiredOptions };
}

function nameDownloadFlag<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw error.reworded({ at: "--target-download" });
  }
}
