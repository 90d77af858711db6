/** Renders turns of a chat with the template in the folder of a language model. */
import { dataError, errorMessage, isObject, Miss, type PlainObject, stripPeriod } from "#ir";
import type { Context } from "#pass";
import { fileKind, folderOf, joinPath, readText } from "#platform";
import { templateName } from "./sidecar-names.ts";
import { openTokenizer, readSettings } from "./tokenizer.ts";

export type RenderTemplate = NonNullable<Context["renderTemplate"]>;

/** Reads tokenizer_config.json or chat_template.jinja. @throws PithError E_DATA if the former is not JSON. */
export async function readChatTemplate(
  folder: string,
): Promise<{ readonly text: string; readonly file: string; readonly settings: PlainObject } | undefined> {
  const [file, ownFile] = ["tokenizer_config.json", joinPath(folder, templateName)];
  const settings = (await readSettings(joinPath(folder, file))) ?? {};
  const text = templateOf(settings);
  if (text !== undefined) return { text, file, settings };
  if ((await fileKind(ownFile)) !== "file") return undefined;
  return { text: await readText(ownFile), file: templateName, settings };
}

/**
 * Returns the tokens of chats in which the user has said one of the texts, and the model is about to answer. @returns no chats without a template; a
 * Miss if templates cannot be rendered here. @throws PithError E_DATA if a file or the template is invalid.
 */
export async function renderChats(
  modelPath: string,
  render: RenderTemplate,
  texts: readonly string[],
): Promise<readonly (readonly number[])[] | Miss> {
  for (const folder of [folderOf(modelPath), joinPath(folderOf(modelPath), "..")]) {
    const template = await readChatTemplate(folder);
    const tokenizer = template === undefined ? undefined : await openTokenizer(folder);
    if (template === undefined || tokenizer === undefined) continue;
    const { settings } = template;
    const tokens = { bos_token: contentOf(settings.bos_token), eos_token: contentOf(settings.eos_token) };
    const chats: (readonly number[])[] = [];
    for (const content of texts) {
      const values = { messages: [{ role: "user", content }], add_generation_prompt: true, ...tokens };
      const chat = await render(template.text, values).catch((cause: unknown) => {
        const text = `${joinPath(folder, template.file)}: the chat template cannot be rendered: ${stripPeriod(errorMessage(cause))}.`;
        throw dataError(text, { cause, hint: "Correct the template, or provide samples (`data`)." });
      });
      if (chat instanceof Miss) return chat;
      chats.push(tokenizer.plain(chat));
    }
    return chats;
  }
  return [];
}

/** Returns the default one of several templates. */
function templateOf({ chat_template: template }: PlainObject): string | undefined {
  if (typeof template === "string") return template;
  const templates = Array.isArray(template) ? template.filter(isObject) : [];
  const templateText = (templates.find(({ name }) => name === "default") ?? templates[0])?.template;
  return typeof templateText === "string" ? templateText : undefined;
}

/** Accepts a text, or an object with its content. */
const contentOf = (token: unknown): unknown => (isObject(token) ? token.content : token) ?? "";
