import os
from uuid import uuid4

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage

ref = str(uuid4())  # replies do not show the draft's id
writer = OpenAIChatGenerator(model="corll", api_base_url=os.environ["OPENAI_BASE_URL"])
asked = [ChatMessage.from_user("The parcel is late.")]
writer.run(asked, generation_kwargs={"metadata": {"corll_ref": ref}})
edit = {"ref": ref, "text": "Your parcel comes on Friday."}
writer.client.post("/edits", cast_to=object, body=edit)
