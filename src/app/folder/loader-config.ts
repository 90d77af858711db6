/** Computes the settings in config.json with which transformers.js loads the variants. */
import { isObject, type PlainObject } from "#ir";
import { type DtypeName, dtypeNames, dtypes } from "../../techniques/quantize/dtypes.ts";
import { dataFileCounts } from "./file-names.ts";

/** Returns the session names of transformers.js that differ from file names. */
export function sessionKeys(bases: readonly string[]): ReadonlyMap<string, string> {
  const main = ["encoder_model", "language_model", "text_encoder", "vision_encoder"].find((base) =>
    bases.includes(base),
  );
  const isMain =
    main !== undefined && !bases.includes("model") && !(main === "vision_encoder" && bases.includes("embed_tokens"));
  return new Map(isMain ? [[main, "model"]] : []);
}

interface LoaderFiles {
  readonly chunks: ReadonlyMap<string, number>;
  readonly chosen: ReadonlyMap<string, DtypeName | "fp32">;
  /** Whether the folder has only this variant. */
  readonly keepSmallest: boolean;
}

const loaderKey = "transformers.js_config";

/** Returns config.json with settings for transformers.js. A module has two keys: its file name (loader) and its session name (registry). */
export function addLoaderSettings(
  config: PlainObject,
  source: PlainObject,
  { chunks, chosen, keepSmallest }: LoaderFiles,
): PlainObject {
  const { [loaderKey]: oldSettings, ...others } = config;
  const { dtype: _, use_external_data_format: __, ...keptSettings } = objectOr(oldSettings);
  const { dtype: defaultDtype, use_external_data_format: externalData } = objectOr(source[loaderKey]);
  const session = sessionKeys([...chosen.keys()]);
  const keysOf = (base: string): readonly string[] => [base, session.get(base) ?? base];
  const haveFiles = (dtypeSetting: unknown): boolean =>
    [...chosen.keys()].every((base) =>
      keysOf(base).every((key) => {
        const suffix = suffixOf(typeof dtypeSetting === "string" ? dtypeSetting : objectOr(dtypeSetting)[key]);
        return suffix === undefined || chunks.has(`${base}${suffix}.onnx`);
      }),
    );
  const chosenDtypes = Object.fromEntries(
    [...chosen].flatMap(([base, name]) => keysOf(base).map((key) => [key, name])),
  );
  const settingsFor = (dtypeSetting: unknown, chunkSetting: unknown, isAdded: boolean): PlainObject => {
    const dtype = isAdded || !haveFiles(dtypeSetting) ? { ...objectOr(dtypeSetting), ...chosenDtypes } : dtypeSetting;
    const isNeeded = [...chunks.values()].some((count) => count > 0) || Boolean(chunkSetting);
    return {
      ...(dtype === undefined ? {} : { dtype }),
      ...(isNeeded ? { use_external_data_format: { ...objectOr(chunkSetting), ...Object.fromEntries(chunks) } } : {}),
    };
  };
  const updateDevice = (part: PlainObject): PlainObject => {
    const deviceSettings = Object.entries(settingsFor(part.dtype, part.use_external_data_format, false));
    return { ...part, ...Object.fromEntries(deviceSettings.filter(([key]) => key in part)) };
  };
  const devices = Object.entries(objectOr(keptSettings.device_config)).map(([name, part]) => [
    name,
    isObject(part) ? updateDevice(part) : part,
  ]);
  const settings = {
    ...keptSettings,
    ...(devices.length === 0 ? {} : { device_config: Object.fromEntries(devices) }),
    ...settingsFor(defaultDtype, externalData, chosen.size > 1 || keepSmallest),
  };
  return Object.keys(settings).length === 0 ? others : { ...others, [loaderKey]: settings };
}

/** Returns config.json for a folder with originals and without variants. @param names file names in its `onnx/`. */
export function configureOriginals(
  config: PlainObject,
  bases: readonly string[],
  names: readonly string[],
): PlainObject {
  const chosen = new Map(bases.map((base) => [base, "fp32"] as const));
  return addLoaderSettings(config, config, { chunks: dataFileCounts(names), chosen, keepSmallest: false });
}

function suffixOf(name: unknown): string | undefined {
  return name === "fp32" ? "" : dtypeNames.filter((dtype) => dtype === name).map((dtype) => dtypes[dtype].suffix)[0];
}

function objectOr(value: unknown): PlainObject {
  return isObject(value) ? { ...value } : {};
}
