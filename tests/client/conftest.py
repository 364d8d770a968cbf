from tests.support.served_crawler import served_fixture

__all__ = ["served_fixture"]
