def get_type_name_for_config(adapter):
    return adapter.type_name
