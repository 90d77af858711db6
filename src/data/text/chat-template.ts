/** Renders turns of a chat with the template in the folder of a language model. */
import type { Context } from "#pass";
import { fileKind, folderOf, joinPath, readText } from "#platform";
import { isObject, type PlainObject } from "../../core/plain.ts";
import { openTokenizer, readSettings } from "./tokenizer.ts";

export type RenderTemplate = NonNullable<Context["renderTemplate"]>;

/**
 * Returns the tokens of chats in which the user has said one of the texts, and the model is about to answer. Templates are in tokenizer_config.json or
 * chat_template.jinja, next to the model or in the folder above.
 * @returns no chats without a template, or if a file or the template cannot be used.
 */
export async function renderChats(
  modelPath: string,
  render: RenderTemplate,
  texts: readonly string[],
): Promise<readonly (readonly number[])[]> {
  try {
    for (const folder of [folderOf(modelPath), joinPath(folderOf(modelPath), "..")]) {
      const settings = (await readSettings(joinPath(folder, "tokenizer_config.json"))) ?? {};
      const template = templateIn(settings) ?? (await textAt(joinPath(folder, "chat_template.jinja")));
      const tokenizer = template === undefined ? undefined : await openTokenizer(folder);
      if (template === undefined || tokenizer === undefined) continue;
      const [bos_token, eos_token] = [contentOf(settings.bos_token), contentOf(settings.eos_token)];
      const chats: (readonly number[])[] = [];
      for (const content of texts) {
        const messages = [{ role: "user", content }];
        const text = await render(template, { messages, add_generation_prompt: true, bos_token, eos_token });
        chats.push(tokenizer.plain(text));
      }
      return chats;
    }
  } catch {
    // Text without chats is realistic as well.
  }
  return [];
}

/** Returns the template, or the default one of several. */
function templateIn({ chat_template: template }: PlainObject): string | undefined {
  if (typeof template === "string") return template;
  const templates = Array.isArray(template) ? template.filter(isObject) : [];
  const chosen = (templates.find(({ name }) => name === "default") ?? templates[0])?.template;
  return typeof chosen === "string" ? chosen : undefined;
}

const textAt = async (path: string): Promise<string | undefined> =>
  (await fileKind(path)) === "file" ? readText(path) : undefined;

/** Returns the text of a token, which is stated as a text or as an object with its content. */
const contentOf = (token: unknown): unknown => (isObject(token) ? token.content : token) ?? "";
