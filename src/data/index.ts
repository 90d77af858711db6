export { type Binding, bindInputs, type ModelInput } from "./batches/bind.ts";
export { contentHash } from "./batches/content-hash.ts";
export { indexed, isIndexed, mapBatches, memory, view } from "./batches/indexed.ts";
export { gatherRows, joinRows, mapColumns, sampleCount, sliceRows } from "./batches/rows.ts";
export { collect, draw, split, take } from "./batches/select.ts";
export { findStates, parseState, type State, setStates, statesText } from "./batches/states.ts";
export type { BatchOptions, Dataset, IndexedDataset, Part } from "./batches/types.ts";
export { cifar } from "./files/cifar.ts";
export { type FrameOptions, frames } from "./files/frames.ts";
export { idx, parseIdx } from "./files/idx.ts";
export { labelNames } from "./files/labels.ts";
export { textLines } from "./files/lines.ts";
export { parseNpy, parseNpz } from "./files/npy.ts";
export { csv, jsonl, type TableOptions } from "./files/table.ts";
export { openWav, type Sound } from "./files/wav.ts";
export { type AugmentedOptions, augmented } from "./images/augment.ts";
export { type Augmentation, augmentationSchema, parseAugmentation } from "./images/augment-options.ts";
export { type ImagesOptions, imageFiles, images } from "./images/images.ts";
export {
  findImages,
  geometryUsed,
  type ImageInput,
  imageChannels,
  preprocess,
  preprocessBatch,
  type StoredImages,
} from "./images/preprocess.ts";
export {
  candidates,
  fromPreprocessorConfig,
  type Preprocessing,
  type PresetName,
  parsePreprocessing,
  presets,
} from "./images/presets.ts";
export { prefetched } from "./prefetch/feed.ts";
export { type PreprocessingSpec, parsePreprocessingSpec } from "./sidecars/preprocessing-spec.ts";
export { rateInput, readingFor, readSidecars, type Sidecars, soundInput } from "./sidecars/sidecars.ts";
export { fromModule, type ModuleOptions } from "./sources/module.ts";
export { type OpenDatasetOptions, openDataset } from "./sources/open.ts";
export type { Reading } from "./sources/open-file.ts";
export { openParts, type Parts, type PartsOptions } from "./sources/parts.ts";
export {
  isLanguageModel,
  type SequenceOptions,
  textColumns,
  tokenInput,
  tokenize,
} from "./text/sequences.ts";
export {
  createTokenizer,
  type Encoding,
  openTokenizer,
  type TextTokenizer,
  tokenizerBeside,
} from "./text/tokenizer.ts";
export { type TokenFile, tokensInFile, tokensOfText } from "./text/tokens.ts";
