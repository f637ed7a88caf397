import asyncio

from inspect_ai.model import get_model
from openai import OpenAI

# OPENAI_BASE_URL, OPENAI_API_KEY. By default it asks that its drafts be kept nowhere.
model = get_model("openai/corll", responses_store=True)
output = asyncio.run(model.generate("The parcel is late."))
edit = {"draft_text": output.completion, "text": "Your parcel comes on Friday."}
OpenAI().post("/edits", cast_to=object, body=edit)
