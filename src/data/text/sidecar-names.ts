/** Names of files in a model's folder that Pith or transformers.js read, such as the tokenizer. */

export const templateName = "chat_template.jinja";

/** Files that Pith or transformers.js read. */
export const sidecarNames: readonly string[] = [
  templateName,
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "processor_config.json",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
