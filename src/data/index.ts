/** Exports datasets, file formats and preprocessing (`pith/data`). @module */
export { addFiles } from "#platform";
export type { BatchOptions, Dataset, IndexedDataset } from "./batches/dataset.ts";
export { mapBatches, memory, view } from "./batches/indexed.ts";
export { collect, draw, split, take } from "./batches/select.ts";
export { cifar } from "./files/cifar.ts";
export { frames } from "./files/frames.ts";
export { idx } from "./files/idx.ts";
export { textLines } from "./files/lines.ts";
export { csv, jsonl } from "./files/table.ts";
export { augmented } from "./images/augment.ts";
export type { Augmentation } from "./images/augment-options.ts";
export { imageFiles, images } from "./images/image-folders.ts";
export { preprocess } from "./images/preprocess.ts";
export { type Preprocessing, parsePreprocessing, presets } from "./images/presets.ts";
export { type OpenDatasetOptions, openDataset } from "./sources/open.ts";
export { tokenize } from "./text/sequences.ts";
export { openTokenizer, type TextTokenizer } from "./text/tokenizer.ts";
