import os

from llama_index.llms.openai_like import OpenAILike
from openai import OpenAI

url, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
writer = OpenAILike(model="corll", api_base=url, api_key=key, is_chat_model=True)
draft = writer.complete("The parcel is late.")
edit = {"draft_id": draft.raw.id, "text": "Your parcel comes on Friday."}
OpenAI().post("/edits", cast_to=object, body=edit)
